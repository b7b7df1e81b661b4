"""Converged services whose settings were changed manually."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import (
    Memory,
    Plan,
    UpdateService,
)
from ecs_dynamo.model.service import (
    Service,
)
from ecs_dynamo.model.service_settings import (
    LoadBalancer,
)
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning import plan
from tests.helpers.facts import with_component
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    template,
)
from tests.helpers.simulated_ecs import SimulatedEcs

TARGET = LoadBalancer("arn:tg", "frontend", 8000)


def declared(**changes: Any) -> Graph:
    """A graph whose frontend is behind a target group, with tags and names."""
    content = template("frontend", "awsvpc")
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 8000}]
    front = component("frontend", Role.FRONTEND, template=content, target_group_arn="arn:tg")
    base = graph()
    parts = tuple(
        redeclared(front, **changes) if c.name == "frontend" else c for c in base.components
    )
    return replace(base, components=parts, tags={"team": "llm"})


def planned(
    declared_graph: Graph, ecs: SimulatedEcs, memory: Memory, change: Callable[[Service], Service]
) -> Plan:
    """Return the plan for a frontend whose service differs by ``change`` from the simulated one."""
    return plan(declared_graph, changed(ecs.snapshot(), change), memory, ecs.clock)


def with_settings(service: Service, **members: Any) -> Service:
    return replace(service, settings=replace(service.settings, **members))


def changed(observed: Snapshot, change: Callable[[Service], Service]) -> Snapshot:
    frontend = observed.components["frontend"]
    assert isinstance(frontend.service, Service)
    return with_component(observed, "frontend", replace(frontend, service=change(frontend.service)))


def updates(result: Plan) -> list[UpdateService]:
    return [a for a in result.actions if isinstance(a, UpdateService) and a.component == "frontend"]
