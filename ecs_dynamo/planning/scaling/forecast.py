"""Where the load goes over the next cold start: level, trend, season, and how sure.

Holt's level and damped trend (Gardner and McKenzie 1985) follow it; the level returns to the mean
of the last while as far as such deviations were seen to pass (an autoregression of order one);
daily and weekly profiles carry it once a whole period was seen. Each forecast is kept until it is
due and held against what came: the best of the three is believed, and its error is the margin.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ecs_dynamo.model.memory.scaling import (
    Forecast,
    Season,
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
"""Seconds between forecasts that are kept to be judged."""
PRIOR_SECONDS = 600.0
"""Of judging that the errors of a fresh state weigh: three cold starts or so."""
LASTING_SECONDS = 3600.0
"""The same for deviations that last: that what rose will fall again is to be shown for long."""


def _weight(elapsed: float, constant: float) -> float:
    return 1.0 - math.exp(-elapsed / constant)


def young_weight(elapsed: float, age: float, constant: float) -> float:
    """The weight of a new value in a fading mean; while that is young it is a plain mean, so that
    the first value, often a burst, does not linger."""
    return max(_weight(elapsed, constant), elapsed / (age + elapsed))


def new_season(period: float) -> Season:
    """An empty profile of ``period`` seconds."""
    bins = int(period / BIN_SECONDS)
    return Season(rates=(-1.0,) * bins, bin_seconds=BIN_SECONDS)


def _fold(season: Season, rate: float, now: float) -> Season:
    """Take a rate into the bin in hand; a bin that is over joins the profile."""
    index = int(now / season.bin_seconds) % len(season.rates)
    if index == season.index:
        return replace(season, total=season.total + rate, count=season.count + 1)
    rates, seen = season.rates, season.seen
    if season.index >= 0 and season.count:
        mean = season.total / season.count
        old = rates[season.index]
        mixed = mean if old < 0 else 0.5 * (old + mean)
        rates = (*rates[: season.index], mixed, *rates[season.index + 1 :])
        seen += 1
    return Season(rates, season.bin_seconds, index, rate, 1, seen)


def seasonal_rate(season: Season | None, at: float) -> float | None:
    """The usual value at ``at``, between bin centres; None where the profile does not know it."""
    if season is None or season.seen <= len(season.rates):
        return None
    place = at / season.bin_seconds - 0.5
    low = math.floor(place)
    first, second = (season.rates[i % len(season.rates)] for i in (low, low + 1))
    if first < 0 or second < 0:
        return None
    return first + (place - low) * (second - first)


def _by_trend(state: Forecast, ahead: float) -> float:
    reach = DAMPING_SECONDS * (1.0 - math.exp(-ahead / DAMPING_SECONDS))
    return max(0.0, state.level + state.trend * reach)


def _by_season(state: Forecast, ahead: float) -> float | None:
    for season in (state.weekly, state.daily):
        now = seasonal_rate(season, state.at)
        then = seasonal_rate(season, state.at + ahead)
        if now is not None and then is not None:
            # The shape is the season's, the height is today's; from a quiet night into the day
            # the difference counts, not the ratio, which would blow up what little there is.
            if then <= 3.0 * now:
                return state.level * then / now if now > 0 else state.level
            return state.level + then - now
    return None


def _reverting(state: Forecast, judge: Forecast) -> float:
    """Between the level and the steady level, as far as such deviations have lasted."""
    lasting = min(max(judge.products / judge.squares, 0.0), 1.0) if judge.squares > 0 else 1.0
    return max(0.0, state.steady + lasting * (state.level - state.steady))


def _all(state: Forecast, ahead: float, judge: Forecast) -> tuple[float, float, float]:
    """The forecasts by reversion, trend and season (-1: no season is known yet)."""
    seasonal = _by_season(state, ahead)
    season = -1.0 if seasonal is None else seasonal
    return _reverting(state, judge), _by_trend(state, ahead), season


def _best(state: Forecast, forecasts: tuple[float, float, float]) -> int:
    """The forecaster with the smallest error so far, of those that know something."""
    return min((i for i in range(3) if forecasts[i] >= 0), key=lambda i: state.errors[i])


def predict(state: Forecast, ahead: float, judge: Forecast | None = None) -> float:
    """What is expected ``ahead`` seconds from the last observation.

    The forecaster is chosen by the errors of ``judge`` (the state itself by default).
    """
    judge = judge or state
    forecasts = _all(state, ahead, judge)
    return forecasts[_best(judge, forecasts)]


def spread(state: Forecast, unit: float | None = None, smoothing: float = LEVEL_SECONDS) -> float:
    """The relative standard error of the forecaster in use.

    Where the value is a load of Poisson arrivals, each of ``unit``, the noise of the level that the
    forecasts were held against is taken off: Erlang C counts it already.
    """
    error = state.errors[_best(state, _all(state, 0.0, state))]
    if unit is not None and state.level > 0:
        error -= unit / (2.0 * smoothing * state.level)
    return math.sqrt(max(error, 0.0))


def follow(
    state: Forecast | None,
    rate: float,
    now: float,
    horizon: float,
    smoothing: float = LEVEL_SECONDS,
) -> Forecast:
    """The state after seeing ``rate`` at ``now``; forecasts look ``horizon`` seconds ahead.

    The level is a mean over about ``smoothing`` seconds: the longer, the less noise it carries.
    """
    if state is None:
        daily, weekly = (_fold(new_season(period), rate, now) for period in (DAY, WEEK))
        return Forecast(now, rate, 0.0, rate, 0.0, daily, weekly)
    elapsed = now - state.at
    if elapsed <= 0:
        return state
    weight = young_weight(elapsed, state.age, smoothing)
    damp = math.exp(-elapsed / DAMPING_SECONDS)
    ahead = state.level + state.trend * elapsed
    level = ahead + weight * (rate - ahead)
    # From the first value, often a burst, to the second there is no trend to be read.
    slope = (level - state.level) / elapsed if state.age > 0 else 0.0
    trend = state.trend * damp + _weight(elapsed, TREND_SECONDS) * (slope - state.trend * damp)
    judged = _judge(state, level, now)
    made = Forecast(
        now,
        max(level, 0.0),
        trend,
        state.steady + young_weight(elapsed, state.age, STEADY_SECONDS) * (rate - state.steady),
        state.age + elapsed,
        _fold(state.daily, rate, now) if state.daily else None,
        _fold(state.weekly, rate, now) if state.weekly else None,
        judged.pending,
        judged.errors,
        judged.judged,
        judged.products,
        judged.squares,
    )
    due = now + horizon
    # What was seen for less than a level's time says nothing of the forecaster.
    late = not made.pending or due - made.pending[-1][0] >= KEEP_EVERY
    if state.age >= LEVEL_SECONDS and late:
        kept = (due, made.steady, made.level - made.steady, *_all(made, horizon, made))
        made = replace(made, pending=(*made.pending, kept))
    return made


def _judge(state: Forecast, level: float, now: float) -> Forecast:
    """``state`` with the forecasts that were due held against ``level``."""
    pending, errors, judged = state.pending, state.errors, state.judged
    products, squares = state.products, state.squares
    while pending and pending[0][0] <= now:
        _, steady, apart, *forecasts = pending[0]
        pending = pending[1:]
        weight = young_weight(KEEP_EVERY, judged + PRIOR_SECONDS, ERROR_SECONDS)
        one, two, three = (
            error if forecast < 0 else error + weight * (_squared(forecast, level) - error)
            for error, forecast in zip(errors, forecasts, strict=True)
        )
        errors = (one, two, three)
        weight = young_weight(KEEP_EVERY, judged + LASTING_SECONDS, 4.0 * LASTING_SECONDS)
        scale = max(steady, 1e-6)
        apart, came = min(apart / scale, 1.0), min((level - steady) / scale, 1.0)
        products += weight * (apart * came - products)
        squares += weight * (apart * apart - squares)
        judged += KEEP_EVERY
    return replace(
        state, pending=pending, errors=errors, judged=judged, products=products, squares=squares
    )


def _squared(predicted: float, came: float) -> float:
    """The squared relative error of one forecast."""
    scale = max(predicted, 0.1 * came, 1e-6)
    return min(((came - predicted) / scale) ** 2, 1.0)
