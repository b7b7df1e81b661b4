"""Dynamo's planner: load, throughput, SLA and hybrid modes."""

from __future__ import annotations

import pytest

from ecs_dynamo.simulate.peers.arima import Arima
from ecs_dynamo.simulate.peers.dynamo_planner import (
    LOAD_OPTIONS,
    DynamoHybrid,
    DynamoLoad,
    DynamoThroughput,
    dynamo_sla,
)
from ecs_dynamo.simulate.scalers import Scaler
from tests.unit.simulate.peers.views import BOUNDS, view


@pytest.mark.parametrize(
    ("queue", "current", "changes", "count"),
    [
        (8, 2, {}, 3),
        (8, 2, {"starting": (1.0,)}, 2),
        (0, 2, {}, 1),
        (15, 2, {"slots": 16}, 1),
        (18, 2, {"slots": 16}, 2),  # A single replica would have 18 for 16 slots.
        (20, 2, {"slots": 16}, 2),  # 20 of 32 slots are more than 0.6.
        (33, 2, {"slots": 16}, 3),
    ],
)
def test_load_mode_changes_by_a_single_replica(
    queue: int, current: int, changes: dict[str, object], count: int
) -> None:
    assert DynamoLoad(BOUNDS, 1.0).decide(view(15, queue, current, **changes)) == count


def test_load_mode_removes_a_replica_whose_load_the_others_can_take() -> None:
    assert DynamoLoad(BOUNDS, 1.2).decide(view(15, 17, 2, slots=16)) == 1


def test_load_mode_for_latency_waits_for_empty_queues() -> None:
    make = LOAD_OPTIONS["latency"]
    assert make(BOUNDS, 0.1).decide(view(15, 3, 2, waiting=0)) == 1
    assert make(BOUNDS, 0.4).decide(view(15, 10, 2, slots=16)) == 2
    assert make(BOUNDS, 0.4).decide(view(15, 3, 2, slots=16)) == 1


def after_an_interval(scaler: Scaler, current: int, **changes: object) -> list[int]:
    return [scaler.decide(view(15.0 * i, 1, current, **changes)) for i in range(1, 13)]


def test_throughput_mode_sizes_for_the_last_interval() -> None:
    # One request/s of one second each, at half utilisation.
    assert after_an_interval(DynamoThroughput(BOUNDS, 0.5), 4)[-2:] == [4, 2]
    # At most 8 replicas more, and none while another starts.
    assert after_an_interval(DynamoThroughput(BOUNDS, 0.1), 1)[-1] == 9
    assert after_an_interval(DynamoThroughput(BOUNDS, 0.1), 1, starting=(1.0,))[-1] == 1


def test_sla_mode_predicts_with_arima() -> None:
    assert after_an_interval(dynamo_sla(BOUNDS, 0.5), 4)[-1] == 2


def test_hybrid_mode_has_a_floor_and_a_load_loop() -> None:
    hybrid = DynamoHybrid(BOUNDS, 0.5)
    assert hybrid.decide(view(15, 1, 4, waiting=0)) == 3
    counts = [hybrid.decide(view(15.0 * i, 1, 4, waiting=0)) for i in range(2, 13)]
    assert counts[-1] == 3
    assert hybrid.decide(view(200, 1, 2, waiting=0)) == 2  # The floor of one erlang at 0.5.
    assert hybrid.decide(view(215, 9, 3, waiting=6)) == 4  # Two seconds of work wait.
    assert hybrid.decide(view(230, 9, 3, waiting=6, starting=(215.0,))) == 3


def test_arima_reverts_to_the_mean_as_far_as_the_past_did() -> None:
    model = Arima()
    assert model.predict(0.0) == 0.0  # Leading zeros are skipped.
    assert [model.predict(v) for v in (3.0, 5.0, 3.0, 5.0)] == [3.0, 5.0, 3.0, 5.0]
    assert model.predict(3.0) == pytest.approx(5.0)  # It has learned the alternation.
    constant = Arima()
    assert [constant.predict(4.0) for _ in range(8)] == [4.0] * 8
