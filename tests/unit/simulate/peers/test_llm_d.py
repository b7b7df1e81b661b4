"""llm-d's workload variant autoscaler: spare capacity, demand and supply, queueing model."""

from __future__ import annotations

import pytest

from ecs_dynamo.simulate.peers.llm_d import WvaSlo, WvaV1, WvaV2, mean_wait, wva_v2
from tests.unit.simulate.peers.views import BOUNDS, view


@pytest.mark.parametrize(
    ("threshold", "changes", "count"),
    [
        (0.8, {"busy": 32}, 3),  # A removal leaves 32 of 48 slots in use: 13 % are spare.
        (0.7, {"busy": 32}, 4),  # Then only 3 % would be spare.
        (0.8, {"busy": 32, "kv_usage": 0.72}, 5),  # Less than 10 % below the threshold.
        (0.8, {"busy": 20, "kv_usage": 0.3}, 3),
        (0.8, {"busy": 64, "waiting": 9}, 5),
        (0.8, {"busy": 20, "waiting": 9}, 5),  # 5 - 9 / 4 is less than 3.
        (0.8, {"busy": 20, "waiting": 9, "starting": (1.0,)}, 4),
    ],
)
def test_the_first_analyzer_moves_by_a_replica(
    threshold: float, changes: dict[str, object], count: int
) -> None:
    assert WvaV1(threshold).recommend(view(60, 0, 4, slots=16, **changes)) == count


def test_the_first_analyzer_takes_the_peak_of_a_minute() -> None:
    wva = WvaV1(5.0)
    assert wva.recommend(view(15, 0, 1, waiting=3)) == 2
    assert wva.recommend(view(30, 0, 2, waiting=0)) is None  # Its period is 30 s.
    assert wva.recommend(view(45, 0, 2, waiting=0)) == 3  # The queue of 30 s ago.
    assert wva.recommend(view(90, 0, 3, waiting=0)) == 2


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"busy": 48}, 4),  # 48 / 0.85 = 56 of 64; 48 / 0.7 = 69.
        ({"busy": 64, "waiting": 36}, 8),  # 100 / 0.85 = 118, 54 more: four replicas.
        ({"busy": 64, "waiting": 36, "starting": (1.0, 1.0, 1.0)}, 5),
        ({"busy": 16}, 2),  # 16 / 0.7 = 23: 41 to spare.
        ({"busy": 0}, 1),
        ({"busy": 32, "kv_usage": 0.8}, 5),  # 80 % of the cache are 8 requests.
    ],
)
def test_the_second_analyzer_compares_demand_and_supply(
    changes: dict[str, object], count: int
) -> None:
    assert WvaV2(0.85).recommend(view(60, 0, 4, slots=16, **changes)) == count


def test_the_optimizer_meets_the_mean_wait() -> None:
    """M/M/1: the mean wait is u / (1 - u) service times, so half a replica each at one."""
    assert mean_wait(1, 0.5) == pytest.approx(1.0)
    assert mean_wait(2, 1.0) == pytest.approx(1 / 3)
    slo = WvaSlo(1.0)
    counts = [slo.recommend(view(15.0 * i, 1, 4, arrived=60, work=60.0)) for i in range(1, 5)]
    assert counts == [None, None, None, 8]  # Four erlangs with service times of 1 s.
    assert slo.recommend(view(120, 0, 8, arrived=0, work=0.0)) == 0


def test_an_increase_is_applied_at_once_and_a_decrease_after_four_minutes() -> None:
    wva = wva_v2(BOUNDS, 0.85)
    assert wva.decide(view(0, 0, 4, slots=16, busy=64, waiting=36)) == 8
    counts = [wva.decide(view(15.0 * i, 0, 8, slots=16, busy=16)) for i in range(1, 20)]
    assert counts == [8] * 17 + [2, 2]  # The recommendation of 8 is 240 s old after its period.
