"""What clients got, and for how long they got nothing: sums over requests, without a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request as its user sees it. Times are monotonic seconds.

    ``attempts`` counts the requests that were sent for it; ``error`` is None where it was served.
    """

    sent: float
    ended: float
    streamed: bool
    attempts: int = 1
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A time of load in figures: requests, and seconds.

    ``gap`` is the longest time within the load in which no request was completed with success,
    ``slowest`` the longest that one which was served took.
    """

    sent: int
    failed: int
    retried: int
    streamed: int
    gap: float
    slowest: float
    errors: tuple[tuple[str, int], ...] = ()
    """What failed requests ended with, the most frequent first."""


def longest_gap(moments: Iterable[float], began: float, ended: float) -> float:
    """The longest time between two of ``moments`` in a row, both ends of the load included."""
    inside = sorted(m for m in moments if began <= m <= ended)
    points = [began, *inside, ended]
    return max((b - a for a, b in pairwise(points)), default=0.0)


def account(outcomes: Sequence[Outcome], began: float, ended: float) -> Account:
    """The account of a load that lasted from ``began`` to ``ended``."""
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


def good_since(outcomes: Sequence[Outcome], moment: float, wanted: int) -> bool:
    """Whether the last ``wanted`` requests to end were sent after ``moment`` and were all served.

    A request that is still under way says nothing yet.
    """
    last = sorted(outcomes, key=lambda o: o.ended)[-wanted:]
    return len(last) == wanted and all(o.error is None and o.sent >= moment for o in last)


@dataclass(slots=True)
class Settling:
    """When something became so for good: it counts once it has held for ``seconds`` in a row."""

    seconds: float
    since: float | None = None

    def tell(self, now: float, holds: bool) -> float | None:
        """Take what is so at ``now``; the moment since which it holds, once that is long enough."""
        if not holds:
            self.since = None
            return None
        if self.since is None:
            self.since = now
        return self.since if now - self.since >= self.seconds else None
