"""AWS's policies: data points to alarm, proportional and stepwise changes, and cooldowns."""

from __future__ import annotations

import pytest

from ecs_dynamo.simulate.peers.aws import StepScaling, TargetTracking
from tests.unit.simulate.peers.views import BOUNDS, follow, per_minute, view


def test_target_tracking_waits_for_its_alarms() -> None:
    tracking = TargetTracking(BOUNDS, 1.0)
    counts = [tracking.decide(view(15.0 * i, 12, 4)) for i in range(1, 13)]
    assert counts == [4] * 11 + [12]  # The third minute above the target.
    low = TargetTracking(BOUNDS, 1.0)
    counts = [low.decide(view(15.0 * i, 1, 8)) for i in range(1, 61)]
    assert counts == [8] * 59 + [1]  # The fifteenth minute below the target.


def test_a_larger_scale_out_of_target_tracking_is_not_delayed() -> None:
    tracking = TargetTracking(BOUNDS, 1.0)
    counts = per_minute(follow(tracking, [6] * 12 + [9] * 4 + [10] * 8, 4))
    # 4 x 6/4 = 6; then 6 x 9/6 = 9; 10 of 9 tasks is a larger result as well.
    assert counts == [4, 4, 6, 9, 10, 10]


@pytest.mark.parametrize(
    ("minutes", "counts"),
    [
        # Three times the target: +30 % once, and again after the cooldown.
        ([30] * 7, [13, 13, 13, 13, 13, 17, 17]),
        # A larger step during the cooldown adds what is above the first step: 10 + 1, then 10 + 3.
        ([15, 40, 40, 40], [11, 13, 13, 13]),
        # The cooldown of a scale-in blocks another scale-in.
        ([1, 1, 1, 1, 1, 1], [7, 7, 7, 7, 7, 4]),
        # A scale-out during the cooldown of a scale-in happens at once and ends it.
        ([1, 20, 1], [7, 10, 7]),
        # Nothing happens between half the target and the target.
        ([5, 10, 8], [10, 10, 10]),
    ],
)
def test_step_scaling(minutes: list[int], counts: list[int]) -> None:
    queues = [queue for queue in minutes for _ in range(4)]
    assert per_minute(follow(StepScaling(BOUNDS, 1.0), queues, 10)) == counts
