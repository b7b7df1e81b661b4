"""The relation of batch and inter-token latency, and the batch that keeps a target."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.memory.scaling import InterTokenFit
from ecs_dynamo.model.spec.scaling import InterTokenModel
from ecs_dynamo.planning.scaling.estimation.inter_token import (
    REACH,
    batch_for,
    itl_at,
    line,
    observe_latency,
)

MODEL = InterTokenModel(base_seconds=0.01, per_request_seconds=0.0005)


def fit_of(points: Iterable[tuple[float, float]]) -> InterTokenFit:
    fit = None
    for number, (batch, itl) in enumerate(points):
        fit = observe_latency(fit, batch, itl, 15.0 * number)
    assert fit is not None
    return fit


def test_a_batch_that_varies_shows_the_line() -> None:
    fit = fit_of((10.0 + n % 21, 0.02 + 0.001 * (10.0 + n % 21)) for n in range(200))
    base, slope = line(fit)
    assert base == pytest.approx(0.02, rel=0.03)
    assert slope == pytest.approx(0.001, rel=0.03)
    assert batch_for(fit, 0.05) == pytest.approx(30.0, rel=0.03)


def test_a_constant_batch_is_not_extrapolated_far() -> None:
    fit = fit_of((20.0, 0.03) for _ in range(200))
    assert itl_at(fit, 20.0) == pytest.approx(0.03)
    assert itl_at(fit, 40.0) == pytest.approx(0.045)
    assert batch_for(fit, 10.0) == pytest.approx(REACH * 20.0)


def test_a_declared_model_is_used_until_more_is_known() -> None:
    assert itl_at(None, 20.0, MODEL) == pytest.approx(0.02)
    assert batch_for(None, 0.03, MODEL) == pytest.approx(40.0)
    assert batch_for(fit_of([(5.0, 0.5)]), 0.03, MODEL) < 40.0  # type: ignore[operator]
    right = fit_of((n % 9 + 1.0, 0.01 + 0.0005 * (n % 9 + 1)) for n in range(50))
    assert batch_for(right, 0.03, MODEL) == pytest.approx(40.0, rel=0.02)


def test_old_points_fade() -> None:
    fit = fit_of((10.0 + n % 11, 0.02 + 0.001 * (10.0 + n % 11)) for n in range(240))
    for n in range(960):
        batch = 10.0 + n % 11
        fit = observe_latency(fit, batch, 0.04 + 0.001 * batch, 3600.0 + 15.0 * n)
    assert line(fit)[0] == pytest.approx(0.04, rel=0.1)


@given(
    points=st.lists(st.tuples(st.floats(0.01, 1e4), st.floats(1e-5, 100)), min_size=1, max_size=40),
    target=st.floats(1e-5, 100),
    model=st.sampled_from([None, MODEL]),
)
@settings(max_examples=300, deadline=None)
def test_the_line_never_falls_and_keeps_the_target(
    points: list[tuple[float, float]], target: float, model: InterTokenModel | None
) -> None:
    fit = fit_of(points)
    base, slope = line(fit, model)
    assert base >= 0
    assert slope >= 0
    batch = batch_for(fit, target, model)
    assert batch is not None
    assert batch >= 1
    if batch > 1:
        assert base + slope * min(batch, 1e9) <= target * (1 + 1e-6)
    more = batch_for(fit, 2 * target, model)
    assert more is not None
    assert more >= batch
