"""Settings and failures in the order of rollouts."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import (
    CreateService,
    Memory,
    UpdateService,
)
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service_settings import LoadBalancer
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning import plan
from tests.helpers.convergence import (
    converged,
    run_pass,
)
from tests.helpers.facts import purposes_of
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    template,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs


def test_another_network_is_set_and_a_target_group_is_created() -> None:
    declared = graph()
    ecs, memory = converged(declared)
    other = NetworkSpec(subnets=("subnet-2",), security_groups=("sg-1",))
    moved = replace(
        declared,
        components=tuple(
            redeclared(c, network=other) if c.name == "decode" else c for c in declared.components
        ),
    )
    result = plan(moved, ecs.snapshot(), memory, ecs.clock)
    (update,) = (a for a in result.actions if isinstance(a, UpdateService))
    assert (update.settings.network, update.reason) == (other, "network configuration differs")

    content = template("frontend", "host")
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 8000}]
    front = component(
        "frontend", Role.FRONTEND, mode="host", template=content, target_group_arn="arn:tg"
    )
    plain = replace(front, template=template("frontend", "host"))
    for item in (front, plain):
        fresh = replace(declared, components=(declared.components[0], item))
        matches = SimulatedEcs(fresh)
        first = converge_until_create(matches, fresh, "frontend")
        assert first.settings.load_balancers == (LoadBalancer("arn:tg", "frontend", 8000),)
        assert [c.type for c in first.settings.placement_constraints or ()] == ["distinctInstance"]


def converge_until_create(ecs: SimulatedEcs, declared: Graph, name: str) -> CreateService:
    memory = Memory(started_at=ecs.now)
    for _ in range(10):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        for action in result.actions:
            if isinstance(action, CreateService) and action.component == name:
                return action
    raise AssertionError("never created")


def test_a_failed_component_holds_back_those_behind_it() -> None:
    declared = graph()
    ecs, memory = converged(declared)
    ecs.bad_images.add("dynamo:bad")
    edited = with_image(with_image(declared, "decode", "dynamo:bad"), "frontend", "dynamo:2")
    ecs.graph = edited
    for _ in range(25):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
    assert not result.actions
    assert "decode" in result.failures
    assert WaitPurpose.ROLLOUT_TURN in purposes_of(result, "frontend")
