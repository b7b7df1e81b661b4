"""The memory of scaling between passes. Starting afresh (after a restart) is always safe.

All values are frozen: a policy takes one and returns the next. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_dynamo.model.memory.load import ErrorBudget, Margin, Reading, WorkEstimate
from ecs_dynamo.model.memory.zero import ZeroState


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A policy's raw recommendation at ``at``, kept for the stabilization windows.

    ``desired`` is within the bounds. ``demand`` is without them.
    """

    at: float
    desired: int
    demand: int = 0


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The seconds that a task (its ARN) took from launch to ready."""

    task: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """The measured cold starts of the last replicas.

    ``starting`` are the ARNs of tasks that were observed before they were ready: only for these is
    the moment of readiness known.
    """

    samples: tuple[ColdStart, ...] = ()
    starting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Season:
    """The usual arrival rate by the time of a period.

    ``rates[i]`` belongs to bin ``i`` (``bin_seconds`` each) and is None until that bin has been
    observed. ``index`` is the current bin (None before the first value), and ``total`` and
    ``count`` are its sum and number of values so far. ``completed`` counts the bins that have
    joined the profile.
    """

    rates: tuple[float | None, ...]
    bin_seconds: float
    index: int | None = None
    total: float = 0.0
    count: int = 0
    completed: int = 0


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of all forecasters for one moment; ``season`` is None while none is known."""

    reversion: float
    trend: float
    season: float | None


@dataclass(frozen=True, slots=True)
class PredictionErrors:
    """The mean squared relative error of each forecaster. A fresh one is taken to be 15 % off."""

    reversion: float = 0.0225
    trend: float = 0.0225
    season: float = 0.0225


@dataclass(frozen=True, slots=True)
class PendingForecast:
    """A forecast that is kept until ``due``, to be compared with what is then observed.

    ``steady`` is the long-term mean when it was made, and ``deviation`` the level less that mean.
    """

    due: float
    steady: float
    deviation: float
    predictions: Predictions


@dataclass(frozen=True, slots=True)
class Forecast:
    """The followed course of a rate or a load.

    ``level`` and ``trend`` (per second) are Holt's; ``steady`` is the mean over a longer time, and
    ``age`` the seconds for which it was followed. ``daily`` and ``weekly`` are the seasons.
    ``pending`` forecasts are not due yet. ``assessed`` are the seconds of forecasts that were due,
    and ``errors`` what they amounted to. ``products`` and ``squares`` are the moments that give
    how much of a deviation from the steady level lasts until a forecast is due; they start as if
    deviations of 10 % had been observed that lasted.

    The level is a mean over ``level_age`` seconds at least since it last jumped. ``recent`` are the
    readings of the last half minute, and ``noise`` is the standard deviation of one. ``outcomes``
    are the pairs of forecast and observed load that were due in the last pass.
    """

    at: float
    level: float
    trend: float = 0.0
    steady: float = 0.0
    age: float = 0.0
    daily: Season | None = None
    weekly: Season | None = None
    pending: tuple[PendingForecast, ...] = ()
    errors: PredictionErrors = PredictionErrors()
    assessed: float = 0.0
    products: float = 0.01
    squares: float = 0.01
    level_age: float = 0.0
    noise: float = 0.0
    recent: tuple[Reading, ...] = ()
    outcomes: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class InterTokenFit:
    """The relation of a replica's batch to its inter-token latency, as fading moments.

    ``weight`` is the number of passes that still count. ``batch`` (requests) and ``itl`` (seconds)
    are their means, ``variance`` that of the batch, and ``covariance`` that of both. ``largest`` is
    the largest batch observed.
    """

    at: float
    weight: float
    batch: float
    itl: float
    variance: float = 0.0
    covariance: float = 0.0
    largest: float = 0.0


@dataclass(frozen=True, slots=True)
class KvEstimate:
    """The KV cache of a replica. The moments are fading means.

    ``batch_at_full`` is the batch at which the KV cache would be full, by the reported usage; None
    where that was never reported. ``prompt`` and ``output`` are tokens/s that arrive and are
    generated, and ``rate`` requests/s.
    """

    at: float
    batch_at_full: float | None = None
    prompt: float = 0.0
    output: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Saturation:
    """The batch of replicas while requests waited.

    ``batch`` is the capacity that follows. It was last confirmed at ``at``, and ``confirmed`` times
    in a row. ``quiet`` are the seconds since then for which replicas were well used and nothing
    waited.
    """

    at: float
    batch: float
    confirmed: int = 1
    quiet: float = 0.0


@dataclass(frozen=True, slots=True)
class ConcurrencyEstimate:
    """How many requests one replica works on at once.

    ``batch`` is the present mean over the ready replicas (None where the requests that wait are not
    reported apart), and ``replicas`` is their number, which falls slowly because replicas that
    drain still work. ``waiting`` is whether requests wait, and ``crowded`` the number of replicas
    that were ready when they began to. ``assumed`` is the capacity to plan with; ``limit`` is that
    of the engine's command line, if any. ``latency``, ``kv`` and ``saturation`` are None until they
    were observed.
    """

    at: float
    assumed: float
    limit: float | None = None
    batch: float | None = None
    replicas: float = 0.0
    waiting: bool = False
    crowded: int = 0
    saturation: Saturation | None = None
    latency: InterTokenFit | None = None
    kv: KvEstimate | None = None


@dataclass(frozen=True, slots=True)
class SharedLimitState:
    """Memory of a component about the limits that it shares with others.

    ``missed`` of the last ``requests`` missed their target; both are numbers of requests that fade
    with time, and ``at`` is when they were last updated. ``gained_at`` and ``lost_at`` are when the
    component last got a replica of another one, and lost one to another. Since ``exceeded_since``,
    its current count and those of the others exceed the limit.
    """

    at: float | None = None
    missed: float = 0.0
    requests: float = 0.0
    gained_at: float | None = None
    lost_at: float | None = None
    exceeded_since: float | None = None

    @property
    def missed_share(self) -> float:
        """The share of recent requests that missed their target; 0 without requests."""
        return min(self.missed / self.requests, 1.0) if self.requests > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ScalingState:
    """All that the scaling of one component remembers; demand was last observed at ``busy_at``.

    ``demand`` is the last stabilized recommendation without the bounds.
    """

    recommendations: tuple[Recommendation, ...] = ()
    cold_starts: ColdStarts = field(default_factory=ColdStarts)
    forecast: Forecast | None = None
    busy_at: float | None = None
    concurrency: ConcurrencyEstimate | None = None
    zero: ZeroState = field(default_factory=ZeroState)
    shared_limit: SharedLimitState = field(default_factory=SharedLimitState)
    demand: int | None = None
    work: WorkEstimate | None = None
    margin: Margin = field(default_factory=Margin)
    budget: ErrorBudget = field(default_factory=ErrorBudget)
