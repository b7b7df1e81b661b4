"""Floors and ceilings by the clock, on top of whatever policy a component has.

A window opens at each time that its cron expression names and stays open for ``hours``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from cronsim import CronSim

from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.model.spec.schedule import ScheduleSpec, bounds_within

Spec = TypeVar("Spec", bound=ScalingSpec)


def is_open(window: ScheduleSpec, now: float) -> bool:
    """Return whether ``now`` (UTC seconds) lies in the window."""
    local = datetime.fromtimestamp(now, ZoneInfo(window.timezone))
    length = timedelta(hours=window.hours)
    # The last opening is at most one length ago, or the window is shut.
    opening = next(CronSim(window.cron, local - length), None)
    return opening is not None and opening <= local


def scheduled(spec: Spec, now: float) -> Spec:
    """Return ``spec`` with the bounds of the windows that are open (`bounds_within`)."""
    windows: Sequence[ScheduleSpec] = [w for w in spec.schedule if is_open(w, now)]
    if not windows:
        return spec
    floor, ceiling = bounds_within(spec.min, spec.max, windows)
    return spec.model_copy(update={"min": floor, "max": ceiling})
