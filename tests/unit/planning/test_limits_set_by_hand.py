"""Deployment limits that somebody sets during a rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.plan import (
    Plan,
)
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
)
from tests.helpers.changed_services import declared, planned, updates, with_settings
from tests.helpers.convergence import converged


def rolling(limits: dict[str, Any]) -> Plan:
    """The next pass while the frontend rolls, and someone has set these limits."""
    declared_graph = declared()
    ecs, memory = converged(declared_graph)

    def change(service: Service) -> Service:
        (first,) = service.deployments
        old = Deployment("old", "ACTIVE", first.task_definition_arn, 0, 1, 0)
        new = replace(first, running=0, rollout_state="IN_PROGRESS")
        assert service.settings.limits is not None
        set_by_hand = replace(service.settings.limits, **limits)
        return with_settings(replace(service, deployments=(new, old)), limits=set_by_hand)

    return planned(declared_graph, ecs, memory, change)


@pytest.mark.parametrize(
    "limits",
    [
        # A single replica: nothing may be stopped, and nothing may be started beside it.
        {"minimum_healthy_percent": 50, "maximum_percent": 150},
        {"minimum_healthy_percent": 100, "maximum_percent": 150},
        {"minimum_healthy_percent": 0, "maximum_percent": 200},
        {"circuit_breaker": False},
        {"rolls_back": False},
    ],
)
def test_limits_set_by_hand_during_a_rollout_are_restored(limits: dict[str, Any]) -> None:
    (update,) = updates(rolling(limits))
    assert update.settings.limits == DeploymentLimits()


@pytest.mark.parametrize(
    "limits",
    [
        {},
        # One at a time, as a rollout without room for a surge has it.
        {"minimum_healthy_percent": 0, "maximum_percent": 100},
    ],
)
def test_limits_of_a_rollout_are_left_alone(limits: dict[str, Any]) -> None:
    assert not updates(rolling(limits))
