"""AWS's policies: data points to alarm, proportional and stepwise changes, and cooldowns."""

from __future__ import annotations

import pytest

from ecs_dynamo.simulate.peers.aws import StepScaling, TargetTracking
from ecs_dynamo.simulate.peers.aws_predictive import HourlyForecast, PredictiveScaling
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


def test_forecasts_need_a_day_and_then_follow_the_week() -> None:
    forecast = HourlyForecast()
    for hour in range(8 * 24):
        if hour == 23:
            assert forecast.at(hour * 3600.0) is None
        load = 100.0 if hour % 24 == 9 else 10.0 + (hour // 24 == 0)
        for minute in range(60):
            forecast.add(hour * 3600.0 + 60.0 * minute, load)
        if hour == 33:  # The second day at 9:00: as on the first day.
            assert forecast.at(33 * 3600.0) == 100.0
    assert forecast.at(8 * 86_400.0) == 10.0
    assert forecast.at(8 * 86_400.0 - 1) == 11.0  # A week before, on the first day.


def test_predictive_scaling_launches_before_the_hour() -> None:
    scaler = PredictiveScaling(BOUNDS, 1.0)
    counts = {}
    current = 1
    for minute in range(60 * 34):
        hour = minute // 60
        queue = 12 if hour % 24 == 9 else 1
        now = 60.0 * minute
        current = scaler.decide(view(now, queue, current, cold_starts=(210.0,)))
        counts[minute] = current
    before = 60 * 33 - 6
    assert counts[before] < 12  # The second day, six minutes before 9:00.
    assert counts[before + 2] == 12
