"""Where the load goes over the next cold start: level, trend and season.

Holt's level and damped trend (Gardner and McKenzie 1985) follow the load. The level returns to the
long-term mean as far as such deviations were observed to pass (an autoregression of order one).
Daily and weekly profiles carry it once a whole period has been observed. Each forecast is kept
until it is due and compared with what was then observed: the best of the three forecasters is used,
and the pairs of forecast and outcome decide how much more is kept (`load.margin`).
"""

from __future__ import annotations

import math

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.memory.load import Reading
from ecs_dynamo.model.memory.scaling import (
    Forecast,
    PendingForecast,
    PredictionErrors,
    Predictions,
    Season,
)
from ecs_dynamo.planning.scaling.load.level import (
    add_reading,
    has_jumped,
    mean_of,
    noise_after,
    young_weight,
)

LEVEL_SECONDS = 60.0
TREND_SECONDS = 300.0
STEADY_SECONDS = 1200.0
DAMPING_SECONDS = 240.0
ERROR_SECONDS = 3600.0
BIN_SECONDS = 600.0
DAY = 86_400.0
WEEK = 7 * DAY
KEEP_EVERY = 30.0
"""Seconds between the forecasts that are kept to be assessed."""
PRIOR_SECONDS = 600.0
"""Weight of a fresh state's errors, as seconds of assessed forecasts: about three cold starts."""
LASTING_SECONDS = 3600.0
"""The same for deviations: the state long assumes that they last, because that a rise will pass
needs more proof than that it stays."""
CLEAR = 1.0
"""Deviations below this many standard deviations of a reading are noise. That noise passes says
nothing of a crowd."""


def _weight(elapsed: float, constant: float) -> float:
    return 1.0 - math.exp(-elapsed / constant)


def new_season(period: float) -> Season:
    """Return an empty profile of ``period`` seconds."""
    bins = int(period / BIN_SECONDS)
    return Season(rates=(None,) * bins, bin_seconds=BIN_SECONDS)


def _fold(season: Season, rate: float, now: float) -> Season:
    """Add a rate to the current bin; a bin that has ended joins the profile."""
    index = int(now / season.bin_seconds) % len(season.rates)
    if index == season.index:
        total, count = season.total + rate, season.count + 1
        return Season(season.rates, season.bin_seconds, index, total, count, season.completed)
    rates, completed = season.rates, season.completed
    if season.index is not None and season.count:
        mean = season.total / season.count
        before = rates[season.index]
        mixed = mean if before is None else 0.5 * (before + mean)
        rates = (*rates[: season.index], mixed, *rates[season.index + 1 :])
        completed += 1
    return Season(rates, season.bin_seconds, index, rate, 1, completed)


def seasonal_rate(season: Season | None, at: float) -> float | None:
    """Return the usual value at ``at``, interpolated between bin centres.

    None until the profile has a whole period and both bins.
    """
    if season is None or season.completed <= len(season.rates):
        return None
    place = at / season.bin_seconds - 0.5
    low = math.floor(place)
    first, second = (season.rates[i % len(season.rates)] for i in (low, low + 1))
    if first is None or second is None:
        return None
    return first + (place - low) * (second - first)


def _by_reversion(state: Forecast, history: Forecast) -> float:
    """Between the steady level and the level, as far as such deviations have lasted."""
    squares = history.squares
    lasting = min(max(history.products / squares, 0.0), 1.0) if squares > 0 else 1.0
    return max(0.0, state.steady + lasting * (state.level - state.steady))


def _by_trend(state: Forecast, ahead: float) -> float:
    reach = DAMPING_SECONDS * (1.0 - math.exp(-ahead / DAMPING_SECONDS))
    return max(0.0, state.level + state.trend * reach)


def _by_season(state: Forecast, ahead: float) -> float | None:
    for season in (state.weekly, state.daily):
        now = seasonal_rate(season, state.at)
        then = seasonal_rate(season, state.at + ahead)
        if now is not None and then is not None:
            # The season gives the shape, today's level the height. From a quiet night into the day
            # the difference counts: a ratio would blow up the little load that there is.
            if then <= 3.0 * now:
                return state.level * then / now if now > 0 else state.level
            return state.level + then - now
    return None


def _predictions(state: Forecast, ahead: float, history: Forecast) -> Predictions:
    return Predictions(
        _by_reversion(state, history), _by_trend(state, ahead), _by_season(state, ahead)
    )


def _ranked(predictions: Predictions, errors: PredictionErrors) -> list[tuple[float, float]]:
    """The (error, prediction) pairs of the forecasters that know something, in a fixed order."""
    known = [
        (errors.reversion, predictions.reversion),
        (errors.trend, predictions.trend),
    ]
    if predictions.season is not None:
        known.append((errors.season, predictions.season))
    return known


def _best(predictions: Predictions, errors: PredictionErrors) -> tuple[float, float]:
    """The pair with the smallest error so far; the first of several."""
    return min(_ranked(predictions, errors), key=lambda pair: pair[0])


def predict(state: Forecast, ahead: float, history: Forecast | None = None) -> float:
    """Return what is expected ``ahead`` seconds from the last observation.

    The forecaster is chosen by the errors of ``history`` (the state itself by default).
    """
    history = history or state
    return _best(_predictions(state, ahead, history), history.errors)[1]


def follow(
    state: Forecast | None,
    rate: float,
    now: float,
    horizon: float,
    smoothing: float = LEVEL_SECONDS,
) -> Forecast:
    """Return the state after observing ``rate`` at ``now``; forecasts look ``horizon`` s ahead.

    The level is a mean over about ``smoothing`` seconds: the longer, the less noise it carries.
    """
    if state is None:
        daily, weekly = (_fold(new_season(period), rate, now) for period in (DAY, WEEK))
        return Forecast(now, rate, 0.0, rate, 0.0, daily, weekly, recent=(Reading(now, rate, 0.0),))
    elapsed = now - state.at
    if elapsed <= 0:
        return state
    weight = young_weight(elapsed, state.level_age, smoothing)
    damp = math.exp(-elapsed / DAMPING_SECONDS)
    ahead = state.level + state.trend * elapsed
    level = ahead + weight * (rate - ahead)
    reading = Reading(now, rate, elapsed)
    recent = add_reading(state.recent, reading)
    mean, covered = mean_of(recent)
    noise = noise_after(state.noise, state.age, state.recent[-1].value, reading)
    level_age = state.level_age + elapsed
    if has_jumped(level, recent, noise):
        level, level_age = mean, covered
    # Between the first value, often a burst, and the second there is no trend to be read.
    slope = (level - state.level) / elapsed if state.age > 0 else 0.0
    trend = state.trend * damp + _weight(elapsed, TREND_SECONDS) * (slope - state.trend * damp)
    steady_weight = young_weight(elapsed, state.age, STEADY_SECONDS)
    followed = replace(
        _assess_due(state, level, mean, now),
        at=now,
        level=max(level, 0.0),
        level_age=level_age,
        noise=noise,
        recent=recent,
        trend=trend,
        steady=state.steady + steady_weight * (rate - state.steady),
        age=state.age + elapsed,
        daily=_fold(state.daily, rate, now) if state.daily else None,
        weekly=_fold(state.weekly, rate, now) if state.weekly else None,
    )
    due = now + horizon
    last_due = followed.pending[-1].due if followed.pending else None
    # A state that was followed for less than the level's time says nothing of the forecasters.
    if state.age < LEVEL_SECONDS or (last_due is not None and due - last_due < KEEP_EVERY):
        return followed
    forecast = PendingForecast(
        due,
        followed.steady,
        followed.level - followed.steady,
        _predictions(followed, horizon, followed),
    )
    return replace(followed, pending=(*followed.pending, forecast))


def _assess_due(state: Forecast, level: float, recent: float, now: float) -> Forecast:
    """Return ``state`` with the forecasts that were due compared with ``level``.

    Its ``outcomes`` compare them with ``recent``, the load of the last half minute: a peak that is
    shorter than the level's mean must be served too.
    """
    pending, errors, assessed = state.pending, state.errors, state.assessed
    if not pending or pending[0].due > now:
        return replace(state, outcomes=()) if state.outcomes else state
    products, squares = state.products, state.squares
    outcomes: list[tuple[float, float]] = []
    while pending and pending[0].due <= now:
        forecast, pending = pending[0], pending[1:]
        weight = young_weight(KEEP_EVERY, assessed + PRIOR_SECONDS, ERROR_SECONDS)
        errors = _with_errors(errors, forecast.predictions, level, weight)
        if abs(forecast.deviation) >= CLEAR * state.noise:
            weight = young_weight(KEEP_EVERY, assessed + LASTING_SECONDS, 4.0 * LASTING_SECONDS)
            scale = max(forecast.steady, 1e-6)
            before = min(forecast.deviation / scale, 1.0)
            after = min((level - forecast.steady) / scale, 1.0)
            products += weight * (before * after - products)
            squares += weight * (before * before - squares)
        assessed += KEEP_EVERY
        outcomes.append((_best(forecast.predictions, state.errors)[1], recent))
    return replace(
        state,
        pending=pending,
        errors=errors,
        assessed=assessed,
        products=products,
        squares=squares,
        outcomes=tuple(outcomes),
    )


def _with_errors(
    errors: PredictionErrors, predictions: Predictions, level: float, weight: float
) -> PredictionErrors:
    """Return the mean errors after one more comparison with ``level``."""

    def mixed(error: float, predicted: float | None) -> float:
        if predicted is None:
            return error
        return error + weight * (_squared_error(predicted, level) - error)

    return PredictionErrors(
        reversion=mixed(errors.reversion, predictions.reversion),
        trend=mixed(errors.trend, predictions.trend),
        season=mixed(errors.season, predictions.season),
    )


def _squared_error(predicted: float, observed: float) -> float:
    """The squared relative error of one prediction, at most 1."""
    scale = max(predicted, 0.1 * observed, 1e-6)
    return min(((observed - predicted) / scale) ** 2, 1.0)
