"""Measured cold starts."""

from __future__ import annotations

from ecs_dynamo.model.memory.scaling import (
    ColdStart,
    ColdStarts,
)
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.scaling.cold_start import (
    cold_start_seconds,
    observe_cold_starts,
)


def test_cold_starts_are_measured_and_restored() -> None:
    def task(arn: str, created: float, started: float | None) -> Task:
        return Task(arn, "td", "RUNNING", "RUNNING", created_at=created, started_at=started)

    early = task("a", 0.0, 40.0)
    known = observe_cold_starts(ColdStarts(), [early], [], now=50.0)
    assert known.starting == {"a"}
    known = observe_cold_starts(known, [early], [early], now=90.0)
    assert known.samples == (ColdStart("a", 90.0),)
    assert observe_cold_starts(known, [early], [early], now=120.0) == known
    # After a restart: ECS's own timestamps.
    fresh = observe_cold_starts(ColdStarts(), [early], [early], now=5000.0)
    assert fresh.samples == (ColdStart("a", 40.0),)
    assert cold_start_seconds(ColdStarts(), 300.0) == 300.0
    many = ColdStarts(tuple(ColdStart(str(i), float(i)) for i in range(1, 101)))
    assert cold_start_seconds(many, 1.0) == 76.0
    unknown = Task("b", "td", "RUNNING", "RUNNING")
    assert observe_cold_starts(ColdStarts(), [unknown], [unknown], 1.0) == ColdStarts()
