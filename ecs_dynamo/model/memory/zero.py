"""The memory of scaling to zero and back. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdleGaps:
    """How long a component was without demand until the next demand: a histogram that fades.

    ``weights`` counts the gaps by length (`planning/scaling/zero/idle.py` has the bins). At ``at``,
    a gap that had just ended counted as one.
    """

    weights: tuple[float, ...] = ()
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Waking:
    """Demand that met no replica, since ``since``.

    ``passes`` have observed it, the last one at ``at``. About ``refused`` requests were refused,
    retries included. ``rate`` (requests/s) is the lowest that a whole pass has observed.
    """

    since: float
    at: float
    passes: int
    rate: float
    refused: float


@dataclass(frozen=True, slots=True)
class ZeroState:
    """The memory of scaling to zero and back.

    ``busiest`` is the highest recommendation since the component last woke, and ``raised_at`` the
    time of the last increase. ``serving``: the last pass observed a ready replica.
    """

    gaps: IdleGaps = IdleGaps()
    waking: Waking | None = None
    busiest: int = 0
    raised_at: float | None = None
    serving: bool = False
