"""Where the arrival rate goes over the next cold start: level, trend, season, and how sure.

Holt's linear trend with damping (Gardner and McKenzie 1985) follows the rate; daily and weekly
profiles carry it once a whole period was seen. Each forecast is kept until it is due and held
against what came: the better of the two forecasters is believed, and its error is the margin.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ecs_dynamo.model.scaling import Forecast, Season

LEVEL_SECONDS = 60.0
TREND_SECONDS = 300.0
DAMPING_SECONDS = 240.0
ERROR_SECONDS = 3600.0
BIN_SECONDS = 600.0
DAY = 86_400.0
WEEK = 7 * DAY
KEEP_EVERY = 30.0
"""Seconds between forecasts that are kept to be judged."""


def _weight(elapsed: float, constant: float) -> float:
    return 1.0 - math.exp(-elapsed / constant)


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
    """The usual rate at ``at``, between bin centres; None where the profile does not know it."""
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
            # The shape is the season's, the height is today's; far from the profile's height
            # (a quiet night) the difference counts, not the ratio.
            ratio = then / now if now > 0.2 * then else 1.0
            return max(0.0, state.level * min(ratio, 5.0))
    return None


def predict(state: Forecast, ahead: float) -> float:
    """The expected rate ``ahead`` seconds from the last observation, in requests/s."""
    seasonal = _by_season(state, ahead)
    trend = _by_trend(state, ahead)
    if seasonal is None or state.error_season < 0:
        return trend
    return seasonal if state.error_season <= state.error_trend else trend


def spread(state: Forecast) -> float:
    """The relative standard error of the forecaster in use; 0.2 until one is known."""
    errors = [e for e in (state.error_trend, state.error_season) if e >= 0]
    return math.sqrt(min(errors)) if errors else 0.2


def follow(state: Forecast | None, rate: float, now: float, horizon: float) -> Forecast:
    """The state after seeing ``rate`` (requests/s) at ``now``; forecasts look ``horizon`` ahead."""
    if state is None:
        return Forecast(
            now, rate, 0.0, _fold(new_season(DAY), rate, now), _fold(new_season(WEEK), rate, now)
        )
    elapsed = now - state.at
    if elapsed <= 0:
        return state
    weight = _weight(elapsed, LEVEL_SECONDS)
    damp = math.exp(-elapsed / DAMPING_SECONDS)
    ahead = state.level + state.trend * elapsed
    level = ahead + weight * (rate - ahead)
    slope = (level - state.level) / elapsed
    trend = state.trend * damp + _weight(elapsed, TREND_SECONDS) * (slope - state.trend * damp)
    error_trend, error_season = state.error_trend, state.error_season
    pending = state.pending
    while pending and pending[0][0] <= now:
        _, by_trend, by_season = pending[0]
        pending = pending[1:]
        blend = _weight(KEEP_EVERY, ERROR_SECONDS)
        error_trend = _judge(error_trend, by_trend, level, blend)
        if by_season >= 0:
            error_season = _judge(error_season, by_season, level, blend)
    daily, weekly = state.daily, state.weekly
    made = Forecast(
        now,
        max(level, 0.0),
        trend,
        _fold(daily, rate, now) if daily else None,
        _fold(weekly, rate, now) if weekly else None,
        pending,
        error_trend,
        error_season,
    )
    if not pending or now + horizon - pending[-1][0] >= KEEP_EVERY:
        seasonal = _by_season(made, horizon)
        kept = (now + horizon, _by_trend(made, horizon), -1.0 if seasonal is None else seasonal)
        made = replace(made, pending=(*pending, kept))
    return made


def _judge(error: float, predicted: float, came: float, weight: float) -> float:
    """Mean squared relative error with one more forecast that was due."""
    scale = max(predicted, 0.1 * came, 1e-6)
    squared = min(((came - predicted) / scale) ** 2, 4.0)
    return squared if error < 0 else error + weight * (squared - error)
