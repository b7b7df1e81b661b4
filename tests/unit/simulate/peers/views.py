"""Views of a pool for the tests of peers."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.simulate.peers.base import Bounds
from ecs_dynamo.simulate.scalers import Scaler, View

BOUNDS = Bounds(1, 20)


def view(now: float, queue: int, current: int, **changes: object) -> View:
    """Return a view with ``queue`` unfinished requests and ``current`` ready replicas."""
    values: dict[str, object] = {
        "now": now,
        "tick": 15.0,
        "current": current,
        "ready": current,
        "starting": (),
        "queue": queue,
        "waiting": max(0, queue - current),
        "busy": min(queue, current),
        "slots": 1,
        "arrived": 15,
        "done": 15,
        "work": 15.0,
        "cold_starts": (),
    }
    return View(**{**values, **changes})  # type: ignore[arg-type]  # The values have many types.


def follow(
    scaler: Scaler, queues: Iterable[int], current: int, start: float = 0.0, **changes: object
) -> list[int]:
    """Return the counts for queues that are 15 s apart; every count is ready in the next view."""
    counts = []
    for number, queue in enumerate(queues, 1):
        current = scaler.decide(view(start + 15.0 * number, queue, current, **changes))
        counts.append(current)
    return counts


def per_minute(counts: list[int]) -> list[int]:
    """Return every fourth count: the decisions on a metric with one value per minute."""
    return counts[3::4]
