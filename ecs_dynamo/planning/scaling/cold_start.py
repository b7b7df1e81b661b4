"""How long a replica takes from launch to serving, as this daemon has measured it."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.memory.scaling import ColdStarts
from ecs_dynamo.model.snapshot import Task

KEPT = 32
QUANTILE = 0.75
"""A late replica costs more than an early one: above the median, not the worst ever seen."""


def observe_cold_starts(
    known: ColdStarts, tasks: Iterable[Task], ready: Iterable[Task], now: float
) -> ColdStarts:
    """With what this look tells. Times are UTC seconds.

    Of a task that was seen starting, the time to now counts. Of one that was ready at first sight
    (after a restart of the daemon) ECS's own timestamps count: to RUNNING, which is a lower bound.
    """
    done = {arn for arn, _ in known.samples}
    ready_arns = {t.arn for t in ready}
    samples = list(known.samples)
    starting = set()
    for task in tasks:
        if task.created_at is None:
            continue
        if task.arn not in ready_arns:
            if task.desired_status == "RUNNING":
                starting.add(task.arn)
        elif task.arn not in done:
            end = now if task.arn in known.starting else task.started_at
            if end is not None:
                samples.append((task.arn, max(0.0, end - task.created_at)))
    return ColdStarts(tuple(samples[-KEPT:]), frozenset(starting))


def cold_start_seconds(known: ColdStarts, default: float) -> float:
    """The usual cold start: a running quantile, ``default`` where none was measured."""
    if not known.samples:
        return default
    times = sorted(seconds for _, seconds in known.samples)
    return times[min(int(QUANTILE * len(times)), len(times) - 1)]
