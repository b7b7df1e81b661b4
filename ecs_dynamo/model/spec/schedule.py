"""Windows by the clock in which other bounds of a count apply, as the graph file declares them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import SpecModel

MAX_COUNT = 2**31 - 1
"""ECS takes a count as a 32-bit integer (API reference, CreateService.desiredCount)."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


class ScheduleSpec(SpecModel):
    """A window by the clock in which other bounds apply; give ``min``, ``max``, or both."""

    cron: str = Field(
        description='Cron expression of the times at which a window opens, such as "0 8 * * 1-5".'
    )
    hours: Annotated[float, Field(gt=0, le=24 * 31)] = Field(
        description="Hours for which each window stays open."
    )
    timezone: str = Field(default="UTC", description="IANA time zone of the cron expression.")
    min: Count | None = Field(default=None, description="Floor of the count within the window.")
    max: Count | None = Field(default=None, description="Ceiling of the count within the window.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self


def bounds_within(floor: int, ceiling: int, windows: Iterable[ScheduleSpec]) -> tuple[int, int]:
    """Return the bounds of a count while ``windows`` are open.

    The highest floor and the lowest ceiling count. Where they cross, the floor wins.
    """
    for window in windows:
        floor = floor if window.min is None else max(floor, window.min)
        ceiling = ceiling if window.max is None else min(ceiling, window.max)
    return floor, max(floor, ceiling)
