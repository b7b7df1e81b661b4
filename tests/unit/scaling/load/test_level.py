"""The level of a load: smooth while it is steady, at once where it changes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.memory.load import Reading
from ecs_dynamo.model.memory.scaling import Forecast
from ecs_dynamo.planning.scaling.load.forecast import follow
from ecs_dynamo.planning.scaling.load.level import add_reading, has_jumped, mean_of, noise_after

TICK = 15.0


def _follow(values: list[float], state: Forecast | None = None) -> Forecast:
    now = state.at if state else 0.0
    for value in values:
        now += TICK
        state = follow(state, value, now, 210.0, 300.0)
    assert state is not None
    return state


def _noisy(mean: float, count: int, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [max(0.0, rng.gauss(mean, 0.1 * mean)) for _ in range(count)]


def test_a_crowd_is_the_level_within_half_a_minute() -> None:
    steady = _follow(_noisy(10.0, 80, 1))
    assert 9.0 < steady.level < 11.0
    crowd = _follow([60.0, 60.0, 60.0], steady)
    assert crowd.level > 45.0
    assert crowd.level_age < 60.0


def test_a_crowd_is_recognized_where_passes_are_a_minute_apart() -> None:
    recent: tuple[Reading, ...] = ()
    for number, value in enumerate((10.0, 11.0, 60.0, 62.0)):
        recent = add_reading(recent, Reading(60.0 * number, value, 60.0))
    assert len(recent) == 2
    assert has_jumped(10.0, recent, 1.0)


def test_noise_is_not_a_change() -> None:
    state = _follow(_noisy(10.0, 80, 2))
    levels = []
    for value in _noisy(10.0, 200, 3):
        state = _follow([value], state)
        levels.append(state.level)
    assert max(levels) < 12.0
    assert min(levels) > 8.0


def test_a_single_reading_is_not_a_change() -> None:
    assert not has_jumped(10.0, (Reading(15.0, 90.0, 15.0),), 1.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_the_noise_is_bounded_by_the_differences(values: list[float]) -> None:
    noise, before, age, largest = 0.0, values[0], 0.0, 0.0
    for number, value in enumerate(values[1:]):
        reading = Reading(TICK * (number + 1), value, TICK)
        noise = noise_after(noise, age, before, reading)
        largest = max(largest, abs(value - before))
        before, age = value, age + TICK
    assert 0.0 <= noise <= largest + 1e-9


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_recent_readings_cover_half_a_minute(values: list[float]) -> None:
    recent: tuple[Reading, ...] = ()
    for number, value in enumerate(values):
        recent = add_reading(recent, Reading(TICK * number, value, TICK))
    mean, seconds = mean_of(recent)
    assert seconds <= 30.0
    assert min(r.value for r in recent) - 1e-6 <= mean <= max(r.value for r in recent) + 1e-6
