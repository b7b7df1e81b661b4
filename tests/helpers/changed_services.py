"""Converged services with settings that somebody changed by hand."""

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
    """The plan where the frontend's service is otherwise than the simulated one."""
    return plan(declared_graph, changed(ecs.snapshot(), change), memory, ecs.clock)


def with_settings(service: Service, **members: Any) -> Service:
    return replace(service, settings=replace(service.settings, **members))


def changed(observed: Snapshot, change: Callable[[Service], Service]) -> Snapshot:
    part = observed.components["frontend"]
    assert isinstance(part.service, Service)
    other = replace(part, service=change(part.service))
    return replace(observed, components={**observed.components, "frontend": other})


def updates(result: Plan) -> list[UpdateService]:
    return [a for a in result.actions if isinstance(a, UpdateService) and a.component == "frontend"]
