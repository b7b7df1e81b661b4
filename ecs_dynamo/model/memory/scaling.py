"""What scaling remembers between passes. A fresh state (after a restart) is always safe.

Frozen like every value of the model: a policy takes one and gives the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A raw wish of a scaling policy at ``at`` (monotonic seconds), kept for the windows."""

    at: float
    desired: int


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """Launch to ready, in seconds, of the last replicas: ``samples`` are (task ARN, seconds).

    ``starting`` are the tasks that were seen before they were ready: only of these the moment of
    readiness is known.
    """

    samples: tuple[tuple[str, float], ...] = ()
    starting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Season:
    """The usual arrival rate by time of the period: ``rates[i]`` belongs to bin ``i`` (seconds
    ``bin_seconds`` each), -1 where it was never seen. ``total`` and ``count`` fill the bin in hand.
    """

    rates: tuple[float, ...]
    bin_seconds: float
    index: int = -1
    total: float = 0.0
    count: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """A rate or a load as it is followed; times are monotonic seconds.

    ``level`` and ``trend`` (per second) are Holt's; ``steady`` is the mean over a longer time,
    ``age`` the seconds that it was followed; ``daily`` and ``weekly`` the seasons. ``pending`` are
    forecasts not due yet: due, steady, level less steady, then by reversion, by trend, by season
    (-1 where none is known). Of those that were due (``judged`` seconds of them), ``errors`` are
    the mean squared relative errors; ``products`` and ``squares`` are the moments that tell how
    much of a deviation from the steady level lasts until then. They start as if a few had been
    seen: 15 % off, and deviations of 10 % that lasted.
    """

    at: float
    level: float
    trend: float = 0.0
    steady: float = 0.0
    age: float = 0.0
    daily: Season | None = None
    weekly: Season | None = None
    pending: tuple[tuple[float, float, float, float, float, float], ...] = ()
    errors: tuple[float, float, float] = (0.0225, 0.0225, 0.0225)
    judged: float = 0.0
    products: float = 0.01
    squares: float = 0.01


@dataclass(frozen=True, slots=True)
class Service:
    """What one replica does: sums over a fading window, so that their ratio is a mean.

    ``busy`` slot-seconds were spent on ``done`` requests; ``queue`` and ``rate`` are the last
    depth and arrival rate seen. ``counts`` and ``squares`` are of arrivals a look and give their
    dispersion; ``peak`` is the highest load of the last day, in slots. ``caution`` is learned from
    requests that had to wait: up to 1 it is the share of the margins that is kept, above 1 a
    reserve as a share of ``peak``.
    """

    at: float
    queue: float
    rate: float = 0.0
    busy: float = 0.0
    done: float = 0.0
    ticks: float = 0.0
    counts: float = 0.0
    squares: float = 0.0
    peak: float = 0.0
    caution: float = 1.0


@dataclass(frozen=True, slots=True)
class ScalingState:
    """All that one component's scaling remembers. ``busy_at`` is when demand was last seen."""

    recommendations: tuple[Recommendation, ...] = ()
    cold_starts: ColdStarts = field(default_factory=ColdStarts)
    forecast: Forecast | None = None
    service: Service | None = None
    busy_at: float | None = None
