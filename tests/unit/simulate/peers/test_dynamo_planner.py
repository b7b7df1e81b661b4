"""Dynamo's planner: load and throughput modes."""

from __future__ import annotations

from ecs_dynamo.simulate.peers.dynamo_planner import DynamoLoad, DynamoThroughput
from tests.unit.simulate.peers.views import BOUNDS, view


def test_load_mode_changes_by_a_single_replica() -> None:
    load = DynamoLoad(BOUNDS, 1.0)
    assert load.decide(view(15, 8, 2)) == 3
    assert load.decide(view(15, 8, 2, starting=(1.0,))) == 2
    assert load.decide(view(15, 0, 2)) == 1
    assert load.decide(view(15, 15, 2, slots=16)) == 1


def test_throughput_mode_sizes_for_the_last_interval() -> None:
    throughput = DynamoThroughput(BOUNDS, 0.5)
    counts = [throughput.decide(view(15.0 * i, 1, 4)) for i in range(1, 13)]
    assert counts[-2:] == [4, 2]  # One request/s of one second each, at half utilisation.
