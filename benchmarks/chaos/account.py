"""Statistics over requests: how many were served, and the longest time in which none was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request from its user's perspective. Times are monotonic seconds.

    ``attempts`` counts how often it was sent; ``error`` is None if it was served.
    """

    sent: float
    ended: float
    streamed: bool
    attempts: int = 1
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Statistics of a period of load: numbers of requests, and times in seconds.

    ``gap`` is the longest time in which no request was completed successfully, ``slowest`` the
    longest duration of a served request.
    """

    sent: int
    failed: int
    retried: int
    streamed: int
    gap: float
    slowest: float
    errors: tuple[tuple[str, int], ...] = ()
    """Errors of failed requests with their numbers, the most frequent first."""


def longest_gap(moments: Iterable[float], began: float, ended: float) -> float:
    """Return the longest time between successive ``moments``, including both ends of the load."""
    inside = sorted(m for m in moments if began <= m <= ended)
    points = [began, *inside, ended]
    return max((b - a for a, b in pairwise(points)), default=0.0)


def account(outcomes: Sequence[Outcome], began: float, ended: float) -> Account:
    """Return the statistics of a load that lasted from ``began`` to ``ended``."""
    served = [o for o in outcomes if o.error is None]
    errors = Counter(o.error for o in outcomes if o.error is not None)
    return Account(
        sent=len(outcomes),
        failed=len(outcomes) - len(served),
        retried=sum(o.attempts > 1 for o in outcomes),
        streamed=sum(o.streamed for o in outcomes),
        gap=longest_gap((o.ended for o in served), began, ended),
        slowest=max((o.ended - o.sent for o in served), default=0.0),
        errors=tuple(errors.most_common()),
    )


def served_since(outcomes: Sequence[Outcome], moment: float, count: int) -> bool:
    """Return whether the last ``count`` requests to end were sent after ``moment`` and all served.

    Requests in flight are not considered.
    """
    last = sorted(outcomes, key=lambda o: o.ended)[-count:]
    return len(last) == count and all(o.error is None and o.sent >= moment for o in last)


@dataclass(slots=True)
class StableSince:
    """The moment since which a condition holds, reported once it has held for ``seconds``."""

    seconds: float
    since: float | None = None

    def update(self, now: float, *, holds: bool) -> float | None:
        """Record whether the condition holds at ``now``.

        Return the moment since which it holds, or None if that is less than ``seconds`` ago.
        """
        if not holds:
            self.since = None
            return None
        if self.since is None:
            self.since = now
        return self.since if now - self.since >= self.seconds else None
