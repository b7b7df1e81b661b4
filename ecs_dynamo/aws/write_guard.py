"""The time for which the daemon may still write: as long as it holds its lease on the graph.

A write that is retried with back-off may outlive the lease under which it was decided, and would
then undo a change of the next leader. So each attempt at a write checks the guard first, and ends
before the lease does. The guard is a context variable of the task that acts: the renewal of the
lease is a write too, but runs in another task and is not guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

SecondsLeft = Callable[[], float]
"""Returns the seconds for which writes are still allowed; none are at 0 or less."""


def unlimited() -> float:
    """Return infinity: without a lease writes are always allowed."""
    return inf


_guard: ContextVar[SecondsLeft] = ContextVar("write_guard", default=unlimited)


@contextmanager
def writes_guarded(seconds_left: SecondsLeft) -> Iterator[None]:
    """Allow attempts at writes in this context only while ``seconds_left()`` is above 0."""
    token = _guard.set(seconds_left)
    try:
        yield
    finally:
        _guard.reset(token)


def write_seconds_left() -> float:
    """Return the seconds left for a write that starts now; infinity outside of any guard."""
    return _guard.get()()
