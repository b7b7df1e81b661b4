"""The margin above the forecast: of all that would have sufficed, the cheapest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.memory.load import Margin
from ecs_dynamo.planning.scaling.load.margin import (
    BINS_PER_OCTAVE,
    MAX_WEIGHT,
    bin_of,
    cheapest,
    choose,
    kept,
    load_of,
    prior_error,
    record,
)

STEP = 2.0 ** (1.0 / BINS_PER_OCTAVE)


def _observed(pairs: list[tuple[float, float]], *, each: float = 30.0) -> Margin:
    margin, now = Margin(), 0.0
    for forecast, outcome in pairs:
        now += each
        margin = record(margin, forecast, outcome, outcome * each, each, now)
    return margin


@given(st.floats(0.05, 1e5))
def test_a_bin_is_within_half_a_step(load: float) -> None:
    assert 1 / STEP**0.51 <= load_of(bin_of(load)) / load <= STEP**0.51


def test_without_outcomes_the_assumed_error_gives_the_factor() -> None:
    short, long = (cheapest((), 0.01, prior_error(horizon)) for horizon in (60.0, 480.0))
    assert 1.2 < short[0] < long[0]
    assert short[1] == long[1] == 0.0


def test_accurate_forecasts_need_little() -> None:
    margin = choose(_observed([(10.0, 10.0)] * 2_000), 0.005, 210.0, 60_000.0)
    assert margin.factor <= 1.2
    assert margin.reserve == 0.0


def test_crowds_that_no_forecast_expected_are_a_reserve_and_not_a_factor() -> None:
    hour = [(4.0, 4.0)] * 110 + [(4.0, 40.0)] * 7 + [(40.0, 40.0)] * 3
    margin = choose(_observed(hour * 10), 0.005, 210.0, 36_000.0)
    assert kept(margin, 4.0) >= 40.0 / STEP
    assert kept(margin, 40.0) < 80.0  # The crowd's own forecast is not multiplied by ten.


def test_a_crowd_that_does_not_come_back_is_no_longer_provided_for() -> None:
    crowd = [(4.0, 4.0)] * 110 + [(4.0, 12.0)] * 2
    quiet = [(4.0, 4.0)] * 120 * 20
    after = choose(_observed(crowd + quiet), 0.005, 210.0, 76_000.0)
    assert kept(after, 4.0) < 12.0 / STEP
    assert kept(choose(_observed(crowd), 0.005, 210.0, 3_400.0), 4.0) >= 12.0 / STEP


PAIRS = st.lists(st.tuples(st.floats(0.1, 100.0), st.floats(0.1, 100.0)), min_size=1, max_size=60)


@given(PAIRS, st.floats(0.001, 0.2))
@settings(deadline=None)
def test_at_most_the_tolerated_share_of_requests_was_above(
    pairs: list[tuple[float, float]], miss: float
) -> None:
    margin = _observed(pairs)
    factor, reserve = cheapest(tuple(margin.cells.values()), miss, 0.2)
    total = sum(cell.requests for cell in margin.cells.values())
    seconds = sum(cell.seconds for cell in margin.cells.values())
    above = sum(
        cell.requests
        for cell in margin.cells.values()
        if load_of(cell.outcome) > max(factor * load_of(cell.forecast), reserve) * 1.0001
    )
    prior = 600.0 * total / seconds
    assert above <= miss * (total + prior) + 1e-6 or factor >= 4.0


@given(PAIRS, st.floats(0.001, 0.1))
@settings(deadline=None)
def test_a_stricter_target_never_keeps_less_on_average(
    pairs: list[tuple[float, float]], miss: float
) -> None:
    margin = _observed(pairs)

    def mean(share: float) -> float:
        factor, reserve = cheapest(tuple(margin.cells.values()), share, 0.2)
        return sum(
            max(factor * load_of(c.forecast), reserve) * c.seconds for c in margin.cells.values()
        )

    assert mean(miss / 2) >= mean(miss) * 0.9999


def test_a_choice_lasts_until_a_load_exceeds_it() -> None:
    margin = choose(_observed([(5.0, 5.0)] * 400), 0.005, 210.0, 12_000.0)
    again = choose(margin, 0.005, 210.0, 12_060.0)
    assert again is margin
    surprised = record(margin, 5.0, 30.0, 900.0, 30.0, 12_030.0)
    assert surprised.exceeded
    assert choose(surprised, 0.005, 210.0, 12_061.0).reserve > 20.0


def test_old_outcomes_fade_and_are_dropped_at_last() -> None:
    margin = record(Margin(), 5.0, 40.0, 600.0, 30.0, 0.0)
    for day in range(1, 40):
        margin = record(margin, 5.0, 5.0, 600.0, 30.0, 86_400.0 * day)
    assert [load_of(cell.outcome) for cell in margin.cells.values()] == [load_of(bin_of(5.0))]
    assert sum(cell.seconds for cell in margin.cells.values()) == pytest.approx(margin.seconds)
    assert max(cell.seconds for cell in margin.cells.values()) < 30.0 * 2 * MAX_WEIGHT * 2
