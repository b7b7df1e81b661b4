"""Each fact of a pass is derived exactly once, whatever the number of rules that read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.memory.health import Symptom
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.desired.obstacles import ObstacleReason
from ecs_dynamo.planning.observed import endpoints, facts
from ecs_dynamo.planning.observed.failure_reasons import EXPLANATIONS
from tests.helpers.convergence import converged
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

DERIVATIONS = (
    "attribute",
    "find_membership",
    "injected_endpoints",
    "reachable_endpoints",
    "with_service_names",
    "unreachable",
)
"""Functions that are called once per pass."""
PER_COMPONENT = ("assess_readiness", "uncertainty", "unread_registrations")
"""Functions that are called once per component and pass."""


def rolling(ecs: SimulatedEcs) -> None:
    """Leave a rollout of decode, and a move of the endpoints, half done."""
    ecs.graph = with_image(with_image(ecs.graph, "decode", "dynamo:2"), "etcd-nats", "etcd:2")
    ecs.kill("prefill")


@pytest.mark.parametrize("change", [lambda _ecs: None, rolling], ids=["steady", "rolling"])
def test_each_fact_is_derived_once_per_pass(
    change: Callable[[SimulatedEcs], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ecs, memory = converged(graph(prefill=2))
    change(ecs)
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*args, **options)

        return call

    for module in (facts, endpoints):
        for name in (*DERIVATIONS, *PER_COMPONENT):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    for _ in range(3):
        snapshot = ecs.snapshot()
        calls.clear()
        result = plan(ecs.graph, snapshot, memory, ecs.clock)
        assert dict(calls) == {
            **dict.fromkeys(DERIVATIONS, 1),
            **dict.fromkeys(PER_COMPONENT, len(ecs.graph.components)),
        }
        memory = result.memory
        ecs.execute(result.actions)
        ecs.step()


def test_reason_words_of_narrower_enums_are_condition_reasons() -> None:
    words = {reason.value for reason in ConditionReason}
    assert {reason.value for reason in ObstacleReason} <= words
    assert {symptom.value for symptom in Symptom} <= words
    assert set(EXPLANATIONS) <= words
