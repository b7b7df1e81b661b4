"""The policy `static`, and schedules."""

from __future__ import annotations

from typing import Any

from ecs_dynamo.model.spec.schedule import ScheduleSpec
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import is_open, scheduled
from tests.helpers.scaling import scaling_input, spec


def test_static_keeps_the_declared_count_and_schedules_bound_it() -> None:
    night = ScheduleSpec(cron="0 22 * * *", hours=8, timezone="Europe/Berlin", max=2)
    morning = ScheduleSpec(cron="0 7 * * 1-5", hours=4, min=6)
    scaling = spec(policy="static", schedule=(night, morning))
    berlin_midnight = 1_764_025_200.0  # 2025-11-25 00:00 in Berlin, a Tuesday
    assert is_open(night, berlin_midnight)
    assert not is_open(morning, berlin_midnight)
    assert scheduled(scaling, berlin_midnight).max == 2
    seven_utc = berlin_midnight + 8 * 3600
    assert scheduled(scaling, seven_utc).min == 6
    assert not is_open(night, seven_utc)
    assert scheduled(scaling, seven_utc + 5 * 3600) == scaling
    both = scaling.model_copy(update={"schedule": (night, replace_window(night, min=4, max=None))})
    assert (scheduled(both, berlin_midnight).min, scheduled(both, berlin_midnight).max) == (4, 4)
    for declared, expected in ((3, 3), (50, 10), (0, 1)):
        inputs = scaling_input(scaling, seven_utc + 5 * 3600, 7, declared=declared)
        assert decide(inputs).decision.desired == expected


def test_the_range_of_counts_contains_those_of_all_windows() -> None:
    night = ScheduleSpec(cron="0 22 * * *", hours=8, max=2)
    day = ScheduleSpec(cron="0 8 * * *", hours=8, min=4)
    static = spec(policy="static", schedule=(night, day))
    for replicas, counts in ((3, range(2, 5)), (1, range(1, 5)), (50, range(2, 11))):
        assert static.counts(replicas) == counts
    assert spec(policy="static").counts(3) == range(3, 4)
    assert spec(policy="queue", schedule=(night, day)).counts(3) == range(1, 11)
    assert spec(min=0, max=1, policy="queue", schedule=(day,)).counts(3) == range(5)


def replace_window(window: ScheduleSpec, **changes: Any) -> ScheduleSpec:
    return ScheduleSpec.model_validate({**window.model_dump(), **changes})
