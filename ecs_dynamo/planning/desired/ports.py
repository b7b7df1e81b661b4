"""Ports in host mode, where replicas that share an instance's address must not share a port.

Frontends keep their well-known port and are placed one per instance: the port is declared, so ECS
reserves it. A worker's system port identifies it (`attribution`), and a second process on a port
that is in use runs without a metrics page (Dynamo 1.6.1). Therefore:

- components get distinct ports (base + index), and a component with one replica gets another port
  with each new revision, so that the old and the new replica can run on one instance;
- a component that may have several replicas on an instance gets port 0: each replica chooses one;
- a container health check that reads the port from its variable needs a fixed port, so these
  replicas are placed one per instance;
- a port that the task definition itself fixes, in its environment or in the health check, cannot be
  changed. It is declared to ECS as a host port, so that no two tasks that use it share an instance,
  whatever their component or revision.

In bridge mode each container has ports of its own, and the system port is mapped to a free port of
the instance unless the task definition maps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.dynamo.containers import (
    declared_port,
    dynamo_containers,
)
from ecs_dynamo.model.dynamo.variables import SYSTEM_PORT_VARIABLE
from ecs_dynamo.model.ecs.task_definition import container_ports, containers_of
from ecs_dynamo.model.graph import Component, Graph, NetworkMode

MAX_SYSTEM_PORT = 32767
"""Dynamo 1.6.1 exits with a larger port ("expected i16", measured)."""
TURNS = 3
"""Ports on which revisions take turns: those of the serving revision, of the next one, and of one
that replaces the next before it is ready."""
TURN_STRIDE = 20
"""Distance of the ports of two turns; the components of a cluster use those in between."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """The system port of each component, the components placed one per instance, and notes.

    ``turns``: the ports on which the revisions of a component take turns; the first one equals that
    of ``system_ports``.
    """

    system_ports: Mapping[str, int]
    distinct_instances: frozenset[str]
    notes: tuple[str, ...]
    turns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _largest(component: Component) -> int:
    return max(component.replicas, component.scaling.max if component.scaling else 0)


def _health_check_needs(component: Component, base: int) -> str | None:
    """Return how a container health check names the system port: as a number or by its variable."""
    for container in containers_of(component):
        text = " ".join(container.get("healthCheck", {}).get("command", ()))
        if f":{base}/" in text:
            return str(base)
        if SYSTEM_PORT_VARIABLE in text:
            return SYSTEM_PORT_VARIABLE
    return None


def reserved_port(graph: Graph, component: Component) -> int | None:
    """Return the system port that a host-mode worker's task definition fixes; ECS reserves it."""
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
        mapped_port
        for container in containers_of(component)
        if container.get("name") in names[:1]
        for mapped_port in container_ports(container)
    }
    if port and port not in mapped:
        yield (
            f"{component.name}: bridge mode without a mapping of system port {port}: mapped to a "
            "free port of the instance (hostPort 0)"
        )


def plan_ports(graph: Graph) -> PortPlan:
    """Choose the ports of every component; they depend on the graph alone."""
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
                    "placed one per instance"
                )
        if not component.is_worker:
            continue
        # Every worker has an index, even one that needs no port now. Otherwise the ports of others
        # would shift, to ports that running tasks still use, when its replicas become several.
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
                "per instance (use awsvpc, or no health check, to pack several)"
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
