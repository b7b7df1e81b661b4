"""For how long the daemon may still write: as long as its lease on the graph is held.

A write that is retried with back-off may outlive the lease under which it was decided, and would
then undo what the next leader did. So each attempt at a write asks here first, and ends before the
lease does. The guard belongs to the task that acts (a context variable): the renewal of the lease
itself, which is a write too, runs beside it and is not guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

SecondsLeft = Callable[[], float]
"""Seconds for which writes are allowed from now on; 0 or less: not any more."""


def unlimited() -> float:
    """Without a lease writes are always allowed."""
    return inf


_guard: ContextVar[SecondsLeft] = ContextVar("write_guard", default=unlimited)


@contextmanager
def writes_guarded(seconds_left: SecondsLeft) -> Iterator[None]:
    """Within it, attempts at writes start only while ``seconds_left()`` is above 0."""
    token = _guard.set(seconds_left)
    try:
        yield
    finally:
        _guard.reset(token)


def write_seconds_left() -> float:
    """Seconds that are left for a write that starts now; infinite where nothing guards it."""
    return _guard.get()()
