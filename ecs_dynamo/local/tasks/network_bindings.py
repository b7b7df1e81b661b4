"""Network bindings of containers, and the network of bridge containers that a task can reach."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache

from ecs_dynamo.local.network.addresses import Addresses
from ecs_dynamo.local.registration.network import parse_port_range
from ecs_dynamo.local.runtime import fence
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.protocol import Json

_log = logging.getLogger(__name__)


def network_bindings(declared: Json, mode: str, addresses: Addresses) -> list[Json]:
    """Return the network bindings of a container.

    They have the container's own ports in host mode, and mapped ports in bridge mode. Containers in
    awsvpc mode have none (API reference, Container.networkBindings). Raises OSError if there are
    not enough dynamic ports.
    """
    bindings: list[Json] = []
    for mapping in declared.get("portMappings", ()) if mode != "awsvpc" else ():
        binding: Json = {
            "bindIP": "0.0.0.0",  # noqa: S104 (what ECS reports)
            "protocol": mapping.get("protocol", "tcp"),
        }
        if "containerPortRange" in mapping:
            first, last = parse_port_range(mapping["containerPortRange"])
            host = addresses.ports(last - first + 1)
            binding["containerPortRange"] = mapping["containerPortRange"]
            binding["hostPortRange"] = f"{host[0]}-{host[-1]}"
        else:
            port = binding["containerPort"] = int(mapping["containerPort"])
            declared_port = int(mapping.get("hostPort") or 0) if mode == "bridge" else port
            binding["hostPort"] = declared_port or addresses.port()
        bindings.append(binding)
    return bindings


def bound_ports(binding: Json) -> Iterator[tuple[int, int]]:
    """Yield (host port, container port) for each port of a binding."""
    if "hostPort" in binding:
        yield int(binding["hostPort"]), int(binding["containerPort"])
        return
    first_host_port, last_host_port = parse_port_range(binding["hostPortRange"])
    first_container_port, _ = parse_port_range(binding["containerPortRange"])
    for offset in range(last_host_port - first_host_port + 1):
        yield first_host_port + offset, first_container_port + offset


@cache
def _fence_available() -> bool:
    available = fence.available()
    if not available:
        _log.warning(
            "this kernel does not support seccomp user notification: bridge containers can be "
            "reached from every instance, unlike on AWS"
        )
    return available


def reachable_network(task: Task, addresses: Addresses) -> str:
    """Return the network of bridge containers that the task can reach, as `fence` expects it.

    This is the network of its instance. A task with its own network interface (awsvpc, Fargate)
    reaches none, since Docker's network is behind the instance's address. If `fence` is
    unavailable, the result is empty, which means no restriction.
    """
    if not _fence_available():
        return ""
    if task.definition.network_mode == "awsvpc" or task.instance is None:
        return fence.NOWHERE
    return addresses.network(task.instance.address)
