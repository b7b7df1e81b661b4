"""The memory of load estimation between passes. All values are frozen; times are monotonic s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Reading(NamedTuple):
    """A mean ``value`` over ``seconds`` that ended at ``at``."""

    at: float
    value: float
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkEstimate:
    """The work of a component as sums over a fading window, so that their ratios are means.

    ``busy`` slot-seconds were spent on ``units`` of work of ``done`` requests. ``arrived`` units
    belong to the ``requests`` that arrived. ``queue``, ``upstream``, ``rate``, ``running`` and
    ``slots`` are the last measurements. While the load is ``uneven``, some replicas may be idle
    beside others with a queue. ``ticks``, ``counts`` and ``squares`` are the number of passes, the
    arrivals per pass, and their squared differences, which give the dispersion.
    """

    at: float
    queue: float
    upstream: float = 0.0
    rate: float = 0.0
    running: float = 0.0
    slots: float = 0.0
    uneven: bool = False
    busy: float = 0.0
    units: float = 0.0
    done: float = 0.0
    requests: float = 0.0
    arrived: float = 0.0
    ticks: float = 0.0
    counts: float = 0.0
    squares: float = 0.0


class Cell(NamedTuple):
    """Forecasts and outcomes of the same sizes (`load.margin.bin_of`).

    They lasted ``seconds`` in which ``requests`` arrived, both in the weight of `Margin`.
    """

    forecast: int
    outcome: int
    seconds: float
    requests: float


@dataclass(frozen=True, slots=True)
class Margin:
    """The load that is kept above the forecast, and the history that decides it.

    ``factor`` applies to the forecast, and ``reserve`` is a load in slots that is always provided
    for. They were chosen at ``chosen_at`` (None: not yet), and a load has ``exceeded`` them since
    then. ``cells`` are by their sizes and never changed in place, and ``seconds`` is the time that
    they cover. Instead of old ones fading, new ones weigh more: 1 at ``since``, and more later.
    """

    since: float = 0.0
    cells: Mapping[tuple[int, int], Cell] = field(default_factory=dict)
    seconds: float = 0.0
    factor: float = 1.0
    reserve: float = 0.0
    chosen_at: float | None = None
    exceeded: bool = False


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Requests, and those of them that were late, over ``seconds``; all fade with age."""

    late: float = 0.0
    requests: float = 0.0
    seconds: float = 0.0
