"""Forecasts of the load: reversion, seasons, bounds."""

from __future__ import annotations

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.planning.scaling.load.forecast import follow, predict, seasonal_rate
from tests.helpers.scaling import TICK


def test_a_level_returns_to_the_mean_once_that_was_observed_for_long() -> None:
    """Waves about 10 that are gone after a while: a crest is not taken for what will be."""
    state, now = None, 0.0

    def wave(at: float) -> float:
        return 10.0 + 4.0 * math.sin(2 * math.pi * at / 800.0)

    while now < 6 * 3600 + 200:
        now += TICK
        state = follow(state, wave(now), now, 400.0)
    assert state is not None
    assert state.level > 12
    assert predict(state, 400.0) < 11.5
    fresh, now = None, 0.0
    while now < 600:
        now += TICK
        fresh = follow(fresh, 10.0 + now / 150, now, 400.0)
    assert fresh is not None
    assert predict(fresh, 400.0) >= 0.98 * fresh.level  # a rise is believed until shown otherwise


def test_noise_does_not_teach_that_a_crowd_will_pass() -> None:
    """Hours of noise about a steady mean, which always passes, and then a crowd that stays."""
    rng = random.Random(5)
    state, now = None, 0.0
    for _ in range(1500):
        now += TICK
        state = follow(state, max(0.0, rng.gauss(10.0, 4.0)), now, 210.0)
    for _ in range(4):
        now += TICK
        state = follow(state, 40.0, now, 210.0)
    assert state is not None
    assert predict(state, 210.0) > 0.9 * state.level > 30.0


def test_a_season_is_used_once_it_was_observed_and_is_better() -> None:
    state, now = None, 0.0
    day = 86_400.0

    def rate(at: float) -> float:
        return 10.0 if 8 <= (at % day) / 3600 < 20 else 1.0

    while now < 4 * day + 7.8 * 3600:
        now += 60.0
        state = follow(state, rate(now), now, 900.0)
    assert state is not None
    assert seasonal_rate(state.weekly, now) is None
    assert predict(state, 1800.0) > 4.0  # it is 7:48, and it knows what comes at eight
    assert follow(state, 5.0, now - 10.0, 900.0) == state


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=80), st.floats(1, 600))
@settings(deadline=None)
def test_forecasts_are_never_negative_or_wild(rates: list[float], horizon: float) -> None:
    state, now = None, 0.0
    for item in rates:
        now += TICK
        state = follow(state, item, now, horizon)
    assert state is not None
    assert 0 <= predict(state, horizon) <= 20 * max(rates) + 1
    assert len(state.pending) <= horizon / 30.0 + 2
