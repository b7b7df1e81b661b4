"""Ports in host mode: replicas that share an instance's address must not share a port.

Frontends keep their well-known port and are placed one an instance: the port is declared, so ECS
reserves it. A worker's system port tells who it is (`attribution`), and a second process on a port
that is taken goes on without a page (Dynamo 1.6.1). So:

- components get distinct ports (base + index), and a component with one replica another port with
  each new revision, so that the old and the new one can run on one instance;
- a component that may have several replicas on an instance gets 0, which lets each choose one;
- a container health check that reads the port from its variable needs a fixed one: then the
  replicas are placed one an instance;
- a port that the task definition itself fixes, in its environment or in the health check, cannot
  be changed: it is declared to ECS as a host port, so that no two tasks that use it, of whatever
  component or revision, come to share an instance.

In bridge mode each container has ports of its own, and the system port is mapped to a free one of
the instance where the task definition does not map it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.model.dynamo.containers import (
    declared_port,
    dynamo_containers,
)
from ecs_dynamo.model.dynamo.variables import SYSTEM_PORT_VARIABLE
from ecs_dynamo.model.graph import Component, Graph, NetworkMode

MAX_SYSTEM_PORT = 32767
"""Dynamo 1.6.1 exits with a larger one ("expected i16", measured)."""
TURNS = 3
"""Ports that revisions take turns on: the serving one, the next, and one that replaces the next
before it is ready."""
TURN_STRIDE = 20
"""Ports from one turn to the next; components of a cluster lie between."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """System port by component, the components placed one an instance, and why, in words.

    ``turns``: the ports that the revisions of a component take turns on; the first is that of
    ``system_ports``.
    """

    system_ports: Mapping[str, int]
    distinct_instances: frozenset[str]
    notes: tuple[str, ...]
    turns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _largest(component: Component) -> int:
    return max(component.replicas, component.scaling.max if component.scaling else 0)


def _health_check_needs(component: Component, base: int) -> str | None:
    """What a container health check says of the system port: the literal port, or its variable."""
    for container in component.template.get("containerDefinitions", ()):
        text = " ".join(container.get("healthCheck", {}).get("command", ()))
        if f":{base}/" in text:
            return str(base)
        if SYSTEM_PORT_VARIABLE in text:
            return SYSTEM_PORT_VARIABLE
    return None


def reserved_port(graph: Graph, component: Component) -> int | None:
    """The system port that a host-mode worker's task definition fixes, and ECS has to reserve."""
    if not component.is_worker or component.network_mode is not NetworkMode.HOST:
        return None
    declared = declared_port(component)
    if declared is not None:
        return declared or None
    base = graph.runtime.system_port
    return base if base and _health_check_needs(component, base) == str(base) else None


def _mapping_note(component: Component, port: int) -> Iterator[str]:
    names = dynamo_containers(component).names
    mapped = {
        mapping.get("containerPort")
        for container in component.template.get("containerDefinitions", ())
        if container.get("name") in names[:1]
        for mapping in container.get("portMappings", ())
    }
    if port and port not in mapped:
        yield (
            f"{component.name}: bridge mode without a mapping of system port {port}: mapped to a "
            "free port of the instance (hostPort 0)"
        )


def plan_ports(graph: Graph) -> PortPlan:
    """Choose ports for every component; deterministic in the graph alone."""
    base = graph.runtime.system_port
    ports: dict[str, int] = {}
    turns: dict[str, tuple[int, ...]] = {}
    distinct: set[str] = set()
    notes: list[str] = []
    taken: dict[str, int] = {}
    for component in graph.components:
        if component.is_infrastructure:
            continue
        name, several = component.name, _largest(component) > 1 and not component.is_frontend
        declared = declared_port(component) if component.is_worker else None
        ports[name] = base if declared is None else declared
        if component.network_mode is NetworkMode.BRIDGE and component.is_worker:
            notes.extend(_mapping_note(component, ports[name]))
        if component.network_mode is not NetworkMode.HOST:
            continue
        if component.is_frontend:
            distinct.add(name)
            if _largest(component) > 1:
                notes.append(
                    f"{name}: host mode with fixed port {graph.runtime.frontend_port}: "
                    "placed one an instance"
                )
        if not component.is_worker:
            continue
        # Each has a place in the order, also one that needs none now: else another's port would
        # become one that this one's running tasks still hold, when its replicas become several.
        index = taken.get(component.cluster, 0)
        taken[component.cluster] = index + 1
        if ports[name] == 0:
            continue
        reserved = reserved_port(graph, component)
        checked = _health_check_needs(component, base)
        if several and (reserved is not None or checked is not None):
            distinct.add(name)
            what = "a health check at the system port"
            if declared is not None:
                what = f"{SYSTEM_PORT_VARIABLE} fixed to {declared}"
            notes.append(
                f"{name}: host mode and {what}: placed one "
                "an instance (use awsvpc, or no health check, to pack several)"
            )
        elif several:
            ports[name] = 0
            notes.append(
                f"{name}: host mode with up to {_largest(component)} replicas: "
                "system port made dynamic (DYN_SYSTEM_PORT=0)"
            )
            continue
        if reserved is not None:
            notes.append(
                f"{name}: host mode with fixed system port {reserved}: reserved as a host port, "
                "so that no two tasks with it share an instance"
            )
            continue
        ports[name] = base + index
        turns[name] = tuple(
            port
            for turn in range(TURNS)
            if (port := base + index + turn * TURN_STRIDE) <= MAX_SYSTEM_PORT or not turn
        )
        if index:
            notes.append(f"{name}: host mode on a shared cluster: system port {base + index}")
    return PortPlan(ports, frozenset(distinct), tuple(notes), turns)


def declare_port(container: dict[str, Any], port: int, host_port: int) -> None:
    """Add a port mapping to the container, unless it has one of ``port``."""
    mappings = list(container.get("portMappings", ()))
    if not any(m.get("containerPort") == port for m in mappings):
        mappings.append({"containerPort": port, "hostPort": host_port, "protocol": "tcp"})
        container["portMappings"] = mappings
