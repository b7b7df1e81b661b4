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

Where generations are in force, an instance may run several workers of one component, of several
components and of several generations. There, in host mode:

- each replica chooses its system port, whatever the number of replicas, so that the ports of a
  component do not depend on those of others or on its count;
- a container health check that reads the system port would fail, and is left out: the daemon reads
  the page of every replica itself (`healing`). It stays, with the fixed port that it reads, where
  another container waits for its result, or where the task definition fixes the port;
- vLLM's side channel has a port of the component and generation, unless the task definition or the
  command sets it;
- all other ports that are fixed are declared to ECS as host ports (`listening_ports`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.dynamo.containers import (
    declared_port,
    dynamo_containers,
)
from ecs_dynamo.model.dynamo.listening_ports import (
    SIDE_CHANNEL_VARIABLE,
    assigned_in_command,
    fixed_ports,
)
from ecs_dynamo.model.dynamo.variables import ROUTING_ID_VARIABLE, SYSTEM_PORT_VARIABLE
from ecs_dynamo.model.ecs.task_definition import (
    Container,
    container_ports,
    containers_in,
    containers_of,
)
from ecs_dynamo.model.graph import Component, Graph, JsonObject, NetworkMode

MAX_SYSTEM_PORT = 32767
"""Dynamo 1.6.1 exits with a larger port ("expected i16", measured)."""
TURNS = 3
"""Ports on which revisions take turns: those of the serving revision, of the next one, and of one
that replaces the next before it is ready."""
TURN_STRIDE = 20
"""Distance of the ports of two turns; the components of a cluster use those in between."""
FIRST_SIDE_CHANNEL = 21_000
"""The first port of vLLM's side channels: above every default of Dynamo, and far enough below the
ports from 32768 on, of which Linux assigns one to each connection."""
SIDE_CHANNELS, SIDE_CHANNEL_STRIDE = 1_000, 8
"""The number of side channels, and the ports of each: one for each data-parallel engine."""


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


def generations_apply(component: Component) -> bool:
    """Return whether the ports of a worker follow the rules of generations.

    Other workers keep what they are rendered with, so that a running graph is not rolled.
    """
    return component.is_worker and component.generation is not None


def _reads(container: Container, base: int) -> str | None:
    """Return how a container health check names the system port: as a number or by its variable."""
    text = " ".join(container.get("healthCheck", {}).get("command", ()))
    if f":{base}/" in text:
        return str(base)
    return SYSTEM_PORT_VARIABLE if SYSTEM_PORT_VARIABLE in text else None


def _health_check_needs(component: Component, base: int) -> str | None:
    """Return how the first health check that names the system port does so."""
    names = (_reads(container, base) for container in containers_of(component))
    return next((name for name in names if name is not None), None)


def _is_waited_for(component: Component, container: Container) -> bool:
    """Return whether another container starts only when this one is healthy."""
    return any(
        dependency.get("containerName") == container.get("name")
        and dependency.get("condition") == "HEALTHY"
        for other in containers_of(component)
        for dependency in other.get("dependsOn") or ()
    )


def chooses_system_port(graph: Graph, component: Component) -> bool:
    """Return whether each replica chooses its system port because generations are in force."""
    return (
        generations_apply(component)
        and component.network_mode is NetworkMode.HOST
        and not declared_port(component)
        and not any(
            _reads(c, graph.runtime.system_port) is not None and _is_waited_for(component, c)
            for c in containers_of(component)
        )
    )


def without_unusable_checks(graph: Graph, component: Component, content: JsonObject) -> JsonObject:
    """Return ``content`` without container health checks of a port that replicas choose."""
    if not chooses_system_port(graph, component):
        return content
    base = graph.runtime.system_port
    containers = [
        {k: v for k, v in c.items() if k != "healthCheck"} if _reads(c, base) else c
        for c in containers_in(content)
    ]
    return {**content, "containerDefinitions": containers}


def own_side_channel(component: Component) -> int | None:
    """Return the port of vLLM's side channel that a worker gets, where nothing else sets it.

    It differs between components and between generations, so that these can share an instance. ECS
    reserves it, like every fixed port; in the rare case that two are equal, they cannot share one.
    """
    if not generations_apply(component) or component.network_mode is not NetworkMode.HOST:
        return None
    if not any(
        p.setting == SIDE_CHANNEL_VARIABLE and not p.declared for p in fixed_ports(component)
    ):
        return None
    key = f"{component.family}:{component.generation}"
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % SIDE_CHANNELS
    return FIRST_SIDE_CHANNEL + SIDE_CHANNEL_STRIDE * number


def reserved_ports(graph: Graph, component: Component) -> Mapping[int, str]:
    """Return the ports that ECS reserves for each replica of a worker in host mode, and their use.

    The use is the words of a note.
    """
    system = reserved_port(graph, component)
    ports = {} if system is None else {system: "system port"}
    if generations_apply(component) and component.network_mode is NetworkMode.HOST:
        side_channel = own_side_channel(component)
        for fixed in fixed_ports(component):
            is_default = fixed.setting == SIDE_CHANNEL_VARIABLE and not fixed.declared
            port = side_channel if is_default and side_channel is not None else fixed.port
            ports.setdefault(port, fixed.what)
    return ports


def reserved_port(graph: Graph, component: Component) -> int | None:
    """Return the system port that a host-mode worker's task definition fixes; ECS reserves it."""
    if not component.is_worker or component.network_mode is not NetworkMode.HOST:
        return None
    declared = declared_port(component)
    if declared is not None:
        return declared or None
    base = graph.runtime.system_port
    if generations_apply(component):
        return None if chooses_system_port(graph, component) else base or None
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


def _health_check_note(graph: Graph, component: Component) -> Iterator[str]:
    """Yield which health check a worker has where generations are in force."""
    own = [c for c in containers_of(component) if c.get("healthCheck")]
    lost = [c for c in own if _reads(c, graph.runtime.system_port)]
    name = component.name
    if lost and chooses_system_port(graph, component):
        names = ", ".join(str(c.get("name")) for c in lost)
        yield (
            f"{name}: the health check of container {names} reads the system port, which each "
            "replica chooses, and is left out; the daemon checks every replica itself. To keep it, "
            f"fix {SYSTEM_PORT_VARIABLE} in the task definition (one replica per instance)"
        )
    elif own:
        yield f"{name}: health check of the task definition, beside the daemon's own"
    else:
        yield f"{name}: no container health check; the daemon checks every replica itself"


def _port_notes(graph: Graph, component: Component, port: int) -> Iterator[str]:
    """Yield the ports of a worker in host mode where generations are in force."""
    name, several = component.name, _largest(component) > 1
    if port == 0:
        yield f"{name}: host mode: each replica chooses its system port ({SYSTEM_PORT_VARIABLE}=0)"
    reserved = reserved_ports(graph, component)
    if reserved:
        uses = ", ".join(f"{what} {number}" for number, what in reserved.items())
        apart = "placed one per instance" if several else "no two tasks with it share an instance"
        yield (
            f"{name}: host mode with fixed ports ({uses}): reserved as host ports, {apart} (to "
            "pack several, have them chosen at start)"
        )
    elif several and not any(
        assigned_in_command(c, ROUTING_ID_VARIABLE) for c in containers_of(component)
    ):
        yield (
            f"{name}: replicas on one instance are counted, not distinguished, unless the command "
            f"sets {ROUTING_ID_VARIABLE} to the task's id"
        )


def plan_ports(graph: Graph) -> PortPlan:
    """Choose the ports of every component; they depend on the graph alone."""
    base = graph.runtime.system_port
    ports: dict[str, int] = {}
    turns: dict[str, tuple[int, ...]] = {}
    distinct: set[str] = set()
    notes: dict[str, list[str]] = {}
    taken: dict[str, int] = {}
    for component in graph.components:
        if component.is_infrastructure:
            continue
        name, several = component.name, _largest(component) > 1 and not component.is_frontend
        own_notes = notes.setdefault(name, [])
        declared = declared_port(component) if component.is_worker else None
        ports[name] = base if declared is None else declared
        if component.network_mode is NetworkMode.BRIDGE and component.is_worker:
            own_notes.extend(_mapping_note(component, ports[name]))
        if generations_apply(component):
            own_notes.extend(_health_check_note(graph, component))
        if component.network_mode is not NetworkMode.HOST:
            continue
        if component.is_frontend:
            distinct.add(name)
            if _largest(component) > 1:
                own_notes.append(
                    f"{name}: host mode with fixed port {graph.runtime.frontend_port}: "
                    "placed one per instance"
                )
        if not component.is_worker:
            continue
        if generations_apply(component):
            if chooses_system_port(graph, component):
                ports[name] = 0
            if several and reserved_ports(graph, component):
                distinct.add(name)
            own_notes.extend(_port_notes(graph, component, ports[name]))
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
            own_notes.append(
                f"{name}: host mode and {what}: placed one "
                "per instance (use awsvpc, or no health check, to pack several)"
            )
        elif several:
            ports[name] = 0
            own_notes.append(
                f"{name}: host mode with up to {_largest(component)} replicas: "
                "system port made dynamic (DYN_SYSTEM_PORT=0)"
            )
            continue
        if reserved is not None:
            own_notes.append(
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
            own_notes.append(f"{name}: host mode on a shared cluster: system port {base + index}")
    shown = (
        note for c in graph.components if not c.declared_name for note in notes.get(c.name, ())
    )
    return PortPlan(ports, frozenset(distinct), tuple(shown), turns)
