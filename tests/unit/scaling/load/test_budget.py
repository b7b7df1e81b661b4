"""The error budget: attained punctuality may be spent, and late requests are made up for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.memory.load import ErrorBudget
from ecs_dynamo.planning.scaling.load.budget import spend, tolerated


def _after(late: float, hours: float) -> ErrorBudget:
    budget = ErrorBudget()
    for _ in range(int(hours * 240)):
        budget = spend(budget, late, 30.0, 15.0)
    return budget


def test_a_fresh_budget_tolerates_what_is_declared() -> None:
    assert tolerated(ErrorBudget(), 0.01) == 0.01


def test_punctual_hours_may_be_spent() -> None:
    assert 0.015 < tolerated(_after(0.0, 1.0), 0.01) < tolerated(_after(0.0, 12.0), 0.01) <= 0.03


def test_late_hours_halve_the_tolerance_at_most() -> None:
    assert tolerated(_after(0.01, 5.0), 0.01) == pytest.approx(0.01)
    assert tolerated(_after(0.3, 5.0), 0.01) == 0.005


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e4)), max_size=50), st.floats(0.0001, 0.5))
def test_the_tolerance_is_bounded(passes: list[tuple[float, float]], miss: float) -> None:
    budget = ErrorBudget()
    for late, requests in passes:
        budget = spend(budget, late, requests, 15.0)
    assert 0.5 * miss <= tolerated(budget, miss) <= 3.0 * miss + 1e-12
