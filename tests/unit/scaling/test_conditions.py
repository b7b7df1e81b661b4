"""A source that fails is a condition, never a crash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import Decision
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import (
    FrontendSource,
    PrometheusSource,
    SloScaling,
    scaling_of,
)
from ecs_dynamo.planning.conditions import signal_statements
from tests.helpers.graphs import component

NOW = 1000.0


@pytest.mark.parametrize(
    ("ages", "stale", "words"),
    [
        ({"frontend": 1.0, "prometheus": 2.0}, False, "newest signal is 1.0 s old"),
        ({"frontend": 1.0, "prometheus": 90.0}, True, "nothing fresh from prometheus"),
        ({"frontend": 1.0}, True, "nothing fresh from prometheus"),
        ({"frontend": 90.0, "prometheus": 70.0}, True, "frontend, prometheus; newest signal is 70"),
        ({}, True, "no signal"),
    ],
)
def test_one_silent_source_is_a_condition(ages: dict[str, float], stale: bool, words: str) -> None:
    prometheus = PrometheusSource(source="prometheus", url="http://p", query="q")
    signals_of = {"max": 4, "signals": (FrontendSource(), prometheus)}
    item = component("prefill", Role.PREFILL)
    signals = [
        Signal("prefill", SignalKind.QUEUE_DEPTH, 1, "requests", NOW - age, source)
        for source, age in ages.items()
    ]
    decision = Decision("prefill", 1, 1, "", stale=not any(age <= 60 for age in ages.values()))
    for policy in ("slo", "static"):
        own = replace(item, scaling=scaling_of({**signals_of, "policy": policy}))
        measured = decision if policy == "slo" else replace(decision, stale=False)
        (condition,) = signal_statements([own], [measured], signals, NOW)
        assert condition.type is ConditionType.SIGNAL_STALE
        assert condition.status == (stale and policy == "slo")
        if policy == "slo":
            assert words in condition.message


def test_a_source_that_reported_in_part_is_not_fresh() -> None:
    scaling = SloScaling(max=4, signals=(FrontendSource(),))
    item = replace(component("prefill", Role.PREFILL), scaling=scaling)
    signal = Signal("prefill", SignalKind.QUEUE_DEPTH, 1, "requests", NOW, "frontend", partial=True)
    decisions = [Decision("prefill", 1, 1, "")]
    (condition,) = signal_statements([item], decisions, [signal], NOW)
    assert condition.status
    assert "frontend reported only in part" in condition.message
