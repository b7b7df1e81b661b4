"""The backlog that will be left when a replica launched now can serve, and what drains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DRAIN_SHARE = 0.25
"""A backlog is drained within this share of a cold start. A faster drain would pay for replicas
that are idle before they are ready."""
MAX_DRAIN = 2.0
"""A backlog at most doubles what the load needs: requests that wait at a replica stay there (push
dispatch), so that more replicas do not drain them faster."""
UPSTREAM_SECONDS = 2.0
"""More requests upstream than arrive in this time are held back there: the rest is in prefill."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The replicas of a component: ``ready`` ones, and in how many seconds each other will be.

    Each works on ``slots`` requests at once.
    """

    ready: int
    ready_in: Sequence[float]
    slots: float


def backlog_after(
    waiting: float, load: float, seconds: float, pool: Pool, cold_start: float
) -> float:
    """Return the requests that wait after a cold start without a further launch (fluid model).

    ``load`` is that of the arrivals in slots, and ``seconds`` the time that a request holds a slot.
    """
    serving, clock, rate = float(pool.ready), 0.0, load / seconds
    per_replica = pool.slots / seconds
    for at in (*sorted(min(max(s, 0.0), cold_start) for s in pool.ready_in), cold_start):
        waiting = max(0.0, waiting + (rate - serving * per_replica) * (at - clock))
        serving, clock = serving + 1.0, at
    return waiting


def held_back(upstream: float | None, rate: float) -> float:
    """Return the requests that queue upstream and will arrive when more replicas serve there."""
    return max(0.0, (upstream or 0.0) - UPSTREAM_SECONDS * rate)


def draining_slots(
    waiting: float,
    load: float,
    expected: float,
    seconds: float,
    pool: Pool,
    cold_start: float,
    target: float,
) -> float:
    """Return the slots that serve the ``expected`` load and drain the backlog after a cold start.

    0 where no backlog will be left. ``load`` is the present one and ``target`` the queue time to
    keep, in seconds.
    """
    backlog = backlog_after(waiting, 0.5 * (load + expected), seconds, pool, cold_start)
    if backlog <= 0:
        return 0.0
    drain = backlog * seconds / max(target, DRAIN_SHARE * cold_start)
    return min(expected + drain, MAX_DRAIN * max(load, expected, pool.slots))
