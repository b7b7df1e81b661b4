"""How long a replica takes from launch to serving, as this daemon has measured it."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.memory.scaling import ColdStart, ColdStarts
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.model.spec.scaling import ScalingSpec, SloScaling

KEPT = 32
ASSUMED_SECONDS = 300.0
"""The cold start that is assumed until one was measured, for policies that do not declare it."""
QUANTILE = 0.75
"""A late replica costs more than an early one: above the median, but not the worst ever seen."""


def observe_cold_starts(
    known: ColdStarts, tasks: Iterable[Task], ready: Iterable[Task], now: float
) -> ColdStarts:
    """Return ``known`` with the cold starts that ended since. Times are UTC seconds.

    The cold start of a task that was observed while it started ends at ``now``. For a task that was
    ready when it was first observed (after a restart of the daemon), ECS's own timestamps are used:
    they end at RUNNING, which is a lower bound.
    """
    measured = {sample.task for sample in known.samples}
    ready_arns = {t.arn for t in ready}
    samples = list(known.samples)
    starting = set()
    for task in tasks:
        if task.created_at is None:
            continue
        if task.arn not in ready_arns:
            if task.desired_status == "RUNNING":
                starting.add(task.arn)
        elif task.arn not in measured:
            end = now if task.arn in known.starting else task.started_at
            if end is not None:
                samples.append(ColdStart(task.arn, max(0.0, end - task.created_at)))
    return ColdStarts(tuple(samples[-KEPT:]), frozenset(starting))


def cold_start_seconds(known: ColdStarts, default: float) -> float:
    """Return the usual cold start (a running quantile), or ``default`` if none was measured."""
    if not known.samples:
        return default
    times = sorted([sample.seconds for sample in known.samples])
    return times[min(int(QUANTILE * len(times)), len(times) - 1)]


def expected_cold_start(known: ColdStarts, spec: ScalingSpec) -> float:
    """Return the usual cold start of a component in seconds, or the assumed one of its policy."""
    assumed = spec.cold_start_seconds if isinstance(spec, SloScaling) else ASSUMED_SECONDS
    return cold_start_seconds(known, assumed)
