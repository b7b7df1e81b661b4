"""Why tasks stopped, in words a person can act on: what ECS keeps of them for an hour. Pure.

Stop codes and the words in reasons are those of the ECS developer guide, "Amazon ECS stopped tasks
error messages".
"""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.snapshot import Observed, Task, Unknown
from ecs_dynamo.planning.observed.failure_reasons import reason_of

LONGEST = 300
"""Of a reason, in characters: those of an image pull quote whole answers of a registry."""
OUT_OF_MEMORY = "OutOfMemory"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def why_stopped(task: Task) -> str | None:
    """Why a task ended that was not stopped by its service for a deployment or a scale-in."""
    reason = task.stopped_reason or ""
    if "health check" in reason:
        return _short(reason)
    if not task.stop_code or task.stop_code == "ServiceSchedulerInitiated":
        return None
    failed = reason_of([task]) is not None
    for container in task.containers if failed else ():
        if OUT_OF_MEMORY in (container.reason or ""):
            return f"container {container.name} ran out of memory"
    ended = [c for c in task.containers if c.exit_code is not None]
    if task.stop_code == "EssentialContainerExited" and ended:
        # What exited with an error says more than what was stopped because of it.
        first = max(ended, key=lambda c: (c.exit_code not in (0, 137, 143), c.exit_code != 0))
        told = f"container {first.name} exited with code {first.exit_code}"
        return _short(f"{told}: {first.reason}" if first.reason else told)
    own = next((c.reason for c in task.containers if failed and c.reason), None)
    return _short(own or reason or task.stop_code)


def recently_stopped(stopped: Observed[tuple[Task, ...]]) -> tuple[Task, ...]:
    """Those with something to tell, newest first."""
    found = () if isinstance(stopped, Unknown) else stopped
    told = (t for t in found if why_stopped(t) is not None)
    return tuple(sorted(told, key=lambda t: t.stopped_at or 0.0, reverse=True))


def last_failure(stopped: Iterable[Task]) -> str | None:
    """What the newest of stopped tasks that failed failed of, and how many did."""
    failed = [t for t in stopped if reason_of([t]) is not None]
    if not failed:
        return None
    newest = why_stopped(max(failed, key=lambda t: t.stopped_at or 0.0))
    return newest if len(failed) == 1 else f"{newest} ({len(failed)} tasks failed)"
