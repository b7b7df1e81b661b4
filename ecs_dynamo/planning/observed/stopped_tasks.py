"""Why tasks stopped, from what ECS keeps of them for an hour.

Stop codes and the words in reasons are those of the ECS developer guide, "Amazon ECS stopped tasks
error messages".
"""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.snapshot import Observed, Task, Unknown
from ecs_dynamo.planning.observed.failure_reasons import reason_of

MAX_REASON_LENGTH = 300
"""Characters of a reason that are shown: reasons of a failed image pull quote whole responses."""
OUT_OF_MEMORY = "OutOfMemory"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[: MAX_REASON_LENGTH - 1]}…"


def why_stopped(task: Task) -> str | None:
    """Return why a task ended; None if its service stopped it for a deployment or a scale-in."""
    reason = task.stopped_reason or ""
    if "health check" in reason:
        return _shorten(reason)
    if not task.stop_code or task.stop_code == "ServiceSchedulerInitiated":
        return None
    failed = reason_of([task]) is not None
    for container in task.containers if failed else ():
        if OUT_OF_MEMORY in (container.reason or ""):
            return f"container {container.name} ran out of memory"
    ended = [c for c in task.containers if c.exit_code is not None]
    if task.stop_code == "EssentialContainerExited" and ended:
        # A container that failed explains more than one that was stopped because of it.
        first = max(ended, key=lambda c: (c.exit_code not in (0, 137, 143), c.exit_code != 0))
        message = f"container {first.name} exited with code {first.exit_code}"
        return _shorten(f"{message}: {first.reason}" if first.reason else message)
    own = next((c.reason for c in task.containers if failed and c.reason), None)
    return _shorten(own or reason or task.stop_code)


def recently_stopped(stopped: Observed[tuple[Task, ...]]) -> tuple[Task, ...]:
    """Return the stopped tasks that have a cause to report, newest first."""
    tasks = () if isinstance(stopped, Unknown) else stopped
    explained = (t for t in tasks if why_stopped(t) is not None)
    return tuple(sorted(explained, key=lambda t: t.stopped_at or 0.0, reverse=True))


def last_failure(stopped: Iterable[Task]) -> str | None:
    """Summarize failed stopped tasks: the newest failure's reason and how many there were."""
    failed = [t for t in stopped if reason_of([t]) is not None]
    if not failed:
        return None
    newest = why_stopped(max(failed, key=lambda t: t.stopped_at or 0.0))
    return newest if len(failed) == 1 else f"{newest} ({len(failed)} tasks failed)"
