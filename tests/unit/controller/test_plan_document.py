"""The JSON document of a plan keeps its keys."""

from __future__ import annotations

from ecs_dynamo.controller.telemetry.status import plan_document
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.plan import Memory
from ecs_dynamo.planning import plan
from tests.helpers.graphs import graph
from tests.helpers.simulated_ecs import SimulatedEcs


def test_a_services_settings_are_fields_of_the_action_that_creates_it() -> None:
    declared = graph()
    planned = plan(declared, SimulatedEcs(declared).snapshot(), Memory(0.0), Now.at(0.0))
    actions = plan_document(planned)["actions"]
    (created,) = (a for a in actions if a["action"] == "CreateService")
    assert "settings" not in created
    assert created["names"] == {"registry": None, "connect": None}
    assert created["rollout"]["maximumPercent"] == 200
    assert created["network"]["subnets"] == ["subnet-1"]
    keys = {"launchType", "capacityProviders", "strategy", "constraints", "loadBalancers"}
    keys |= {"availabilityZoneRebalancing", "healthCheckGraceSeconds"}
    assert keys <= created.keys()
