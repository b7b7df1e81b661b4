"""Fixed ports in host mode: replicas that share an instance's address must not share a port.

Frontends keep their well-known port and are placed one an instance: the port is declared, so ECS
reserves it. Workers' system port is only for metrics and health, so packing several GPUs' workers
on an instance matters more: components get distinct ports (base + index), and a component that
may have several replicas on an instance gets 0, which lets the system choose a free one. A
container health check has to know the port: then it stays fixed, at the price of one replica an
instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecs_dynamo.model.graph import Component, Graph, NetworkMode

SYSTEM_PORT_VARIABLE = "DYN_SYSTEM_PORT"


@dataclass(frozen=True, slots=True)
class PortPlan:
    """System port by component, the components placed one an instance, and why, in words."""

    system_ports: Mapping[str, int]
    distinct_instances: frozenset[str]
    notes: tuple[str, ...]


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


def plan_ports(graph: Graph) -> PortPlan:
    """Choose ports for every component; deterministic in the graph alone."""
    base = graph.runtime.system_port
    ports: dict[str, int] = {}
    distinct: set[str] = set()
    notes: list[str] = []
    taken: dict[str, int] = {}
    for component in graph.components:
        if component.is_infrastructure:
            continue
        ports[component.name] = base
        if component.network_mode is not NetworkMode.HOST:
            continue
        if component.is_frontend:
            distinct.add(component.name)
            if _largest(component) > 1:
                notes.append(
                    f"{component.name}: host mode with fixed port {graph.runtime.frontend_port}: "
                    "placed one an instance"
                )
        if not component.is_worker or base == 0:
            continue
        checked = _health_check_needs(component, base)
        if _largest(component) > 1 and not component.is_frontend and checked is not None:
            distinct.add(component.name)
            notes.append(
                f"{component.name}: host mode and a health check at the system port: placed one "
                "an instance (use awsvpc, or no health check, to pack several)"
            )
        elif _largest(component) > 1 and not component.is_frontend:
            ports[component.name] = 0
            notes.append(
                f"{component.name}: host mode with up to {_largest(component)} replicas: "
                "system port made dynamic (DYN_SYSTEM_PORT=0)"
            )
            continue
        if checked == str(base):
            continue
        index = taken.get(component.cluster, 0)
        taken[component.cluster] = index + 1
        ports[component.name] = base + index
        if index:
            notes.append(
                f"{component.name}: host mode on a shared cluster: system port {base + index}"
            )
    return PortPlan(ports, frozenset(distinct), tuple(notes))
