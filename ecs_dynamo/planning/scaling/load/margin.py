"""How much more than the forecast is kept: a quantile learned from forecasts and outcomes.

Each forecast is compared with the load that was observed when it was due. Two numbers protect
against what was not foreseen. A factor on the forecast covers errors that grow with the load. A
reserve, a load that is always provided for, covers crowds that come from nowhere, whose height does
not depend on the load before them. Of all pairs that would have left at most the tolerated share of
requests above them, the cheapest is used.

This assumes no distribution: it is a split conformal quantile (Vovk et al., "Algorithmic Learning
in a Random World", 2005), weighted by age (Barber et al., "Conformal prediction beyond
exchangeability", 2023) and by requests. How high crowds were and how often they came enters
through their share of all requests, so a reserve ends when crowds have become rare enough for the
target. The horizon of the forecasts is the cold start, so a short cold start needs little margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.memory.load import Cell, Margin

BINS_PER_OCTAVE = 8
FACTOR_BINS = range(-1, 17)
"""The factors that are tried, in bins: 0.92 to 4."""
MEMORY_SECONDS = 2 * 86_400.0
CHOOSE_SECONDS = 60.0
CHOOSE_SHARE = 0.02
MAX_CHOOSE_SECONDS = 1_800.0
"""A new choice is due after this share of the observed time, within these bounds; once a load has
exceeded what was kept, after the lower one."""
MAX_WEIGHT = 8.0
"""Once an outcome weighs more, all weights are scaled down."""
MIN_SECONDS = 0.5
"""Cells that have faded to less are dropped then."""
SMALLEST = 0.05
"""Loads in slots below this one do not differ."""
PRIOR_SECONDS = 600.0
PRIOR_ERROR = 0.3
PRIOR_HORIZON = 210.0
"""Before anything was observed, the logarithm of outcome / forecast is taken to have this standard
deviation at this horizon in seconds, growing with its root as that of a random walk does. It has
the weight of `PRIOR_SECONDS` of observation."""
_NO_RESERVE = -10_000


def bin_of(load: float) -> int:
    """Return the logarithmic bin of a load."""
    return round(BINS_PER_OCTAVE * math.log2(max(load, SMALLEST)))


def load_of(number: int) -> float:
    """Return the load at the centre of a bin."""
    return float(2.0 ** (number / BINS_PER_OCTAVE))


def kept(margin: Margin, forecast: float) -> float:
    """Return the load to provide for where ``forecast`` is expected."""
    return max(margin.factor * forecast, margin.reserve)


def _weight(margin: Margin, now: float) -> float:
    """Return how much an outcome at ``now`` weighs."""
    return math.exp(max(now - margin.since, 0.0) / MEMORY_SECONDS)


def record(
    margin: Margin, forecast: float, outcome: float, requests: float, seconds: float, now: float
) -> Margin:
    """Return the margin with one forecast that was due.

    It stands for ``seconds`` in which ``requests`` arrived.
    """
    if not margin.cells:
        margin = replace(margin, since=now)
    weight = _weight(margin, now)
    if weight > MAX_WEIGHT:
        margin, weight = _rescaled(margin, weight, now), 1.0
    key = bin_of(forecast), bin_of(outcome)
    cell = margin.cells.get(key, Cell(*key, 0.0, 0.0))
    cell = Cell(*key, cell.seconds + weight * seconds, cell.requests + weight * requests)
    return replace(
        margin,
        cells={**margin.cells, key: cell},
        seconds=margin.seconds + weight * seconds,
        exceeded=margin.exceeded or outcome > kept(margin, forecast),
    )


def _rescaled(margin: Margin, weight: float, now: float) -> Margin:
    """Return the margin with weights that start at 1 again, without cells that have faded."""
    cells = {
        key: Cell(*key, cell.seconds / weight, cell.requests / weight)
        for key, cell in margin.cells.items()
        if cell.seconds >= MIN_SECONDS * weight
    }
    seconds = sum(cell.seconds for cell in cells.values())
    return replace(margin, since=now, cells=cells, seconds=seconds)


def choose(margin: Margin, miss: float, horizon: float, now: float) -> Margin:
    """Return the margin with the cheapest factor and reserve, where a new choice is due.

    ``miss`` is the share of requests that may be above it, and ``horizon`` that of the forecasts in
    seconds.
    """
    weight = _weight(margin, now)
    if margin.chosen_at is not None:
        due = CHOOSE_SECONDS
        if not margin.exceeded:
            observed = margin.seconds / weight
            due = min(max(due, CHOOSE_SHARE * observed), MAX_CHOOSE_SECONDS)
        if now - margin.chosen_at < due:
            return margin
    factor, reserve = cheapest(tuple(margin.cells.values()), miss, prior_error(horizon), weight)
    return replace(margin, chosen_at=now, exceeded=False, factor=factor, reserve=reserve)


def prior_error(horizon: float) -> float:
    """Return the standard deviation of the logarithm of outcome / forecast before any outcome."""
    return PRIOR_ERROR * math.sqrt(max(horizon, 1.0) / PRIOR_HORIZON)


def cheapest(
    cells: Sequence[Cell], miss: float, error: float, weight: float = 1.0
) -> tuple[float, float]:
    """Return the (factor, reserve) with the least mean load that leave the share ``miss`` above.

    ``error`` is the assumed standard deviation of the logarithm of outcome / forecast, and
    ``weight`` that of one second at present.
    """
    assumed = NormalDist(0.0, BINS_PER_OCTAVE * error / math.log(2.0))
    seconds = sum(cell.seconds for cell in cells)
    requests = sum(cell.requests for cell in cells)
    prior = PRIOR_SECONDS * weight * (requests / seconds if requests > 0 else 1.0)
    allowed = miss * (requests + prior)
    forecasts: dict[int, float] = {}
    for cell in cells:
        forecasts[cell.forecast] = forecasts.get(cell.forecast, 0.0) + cell.seconds
    by_outcome = sorted(cells, key=lambda cell: -cell.outcome)
    best: tuple[float, float, float] | None = None
    for number in FACTOR_BINS:
        budget = allowed - prior * (1.0 - assumed.cdf(number))
        if budget < 0:
            continue
        reserve = _smallest_reserve(by_outcome, number, budget)
        cost = sum(
            lasted * load_of(max(forecast + number, reserve))
            for forecast, lasted in forecasts.items()
        )
        if best is None or cost < best[0]:
            best = (cost, load_of(number), load_of(reserve) if reserve > _NO_RESERVE else 0.0)
        if reserve == _NO_RESERVE:
            break  # A larger factor costs more and has nothing left to cover.
    if best is None:
        return load_of(FACTOR_BINS[-1]), 0.0
    return best[1], best[2]


def _smallest_reserve(by_outcome: Sequence[Cell], factor: int, budget: float) -> int:
    """Return the bin of the smallest reserve that leaves at most ``budget`` requests above.

    ``by_outcome`` has the largest outcome first.
    """
    for cell in by_outcome:
        if cell.outcome > cell.forecast + factor:
            budget -= cell.requests
            if budget < 0:
                return cell.outcome
    return _NO_RESERVE
