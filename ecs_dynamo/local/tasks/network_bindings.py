"""Network bindings of containers: which port of the host leads to which of the container; and the
bridge containers that a task reaches without one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache

from ecs_dynamo.local.network.addresses import Addresses
from ecs_dynamo.local.registration.network import parse_range
from ecs_dynamo.local.runtime import fence
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.protocol import Json

_log = logging.getLogger(__name__)


def bindings_of(declared: Json, mode: str, addresses: Addresses) -> list[Json]:
    """A container's bindings: the port itself in host mode, the mapped one in bridge mode.

    Containers in awsvpc mode have none (API reference, Container.networkBindings). OSError where
    there are not enough dynamic ports.
    """
    made: list[Json] = []
    for mapping in declared.get("portMappings", ()) if mode != "awsvpc" else ():
        bound: Json = {
            "bindIP": "0.0.0.0",  # noqa: S104 (what ECS reports)
            "protocol": mapping.get("protocol", "tcp"),
        }
        if "containerPortRange" in mapping:
            first, last = parse_range(mapping["containerPortRange"])
            host = addresses.ports(last - first + 1)
            bound["containerPortRange"] = mapping["containerPortRange"]
            bound["hostPortRange"] = f"{host[0]}-{host[-1]}"
        else:
            port = bound["containerPort"] = int(mapping["containerPort"])
            asked = int(mapping.get("hostPort") or 0) if mode == "bridge" else port
            bound["hostPort"] = asked or addresses.port()
        made.append(bound)
    return made


def bound_ports(binding: Json) -> Iterator[tuple[int, int]]:
    """(host port, container port) of each port of a binding."""
    if "hostPort" in binding:
        yield int(binding["hostPort"]), int(binding["containerPort"])
        return
    host, inner = parse_range(binding["hostPortRange"]), parse_range(binding["containerPortRange"])
    for offset in range(host[1] - host[0] + 1):
        yield host[0] + offset, inner[0] + offset


@cache
def _fenced() -> bool:
    made = fence.available()
    if not made:
        _log.warning(
            "this kernel does not support seccomp user notification: bridge containers can be "
            "reached from every instance, unlike on AWS"
        )
    return made


def reached_network(task: Task, addresses: Addresses) -> str:
    """The network of bridge containers that the task can reach, as `fence` takes it.

    It is the one of its instance; none if it has its own network interface (awsvpc, Fargate), since
    Docker's network is behind the instance's address. Empty, for all, if `fence` is unavailable.
    """
    if not _fenced():
        return ""
    if task.definition.network_mode == "awsvpc" or task.instance is None:
        return fence.NOWHERE
    return addresses.network(task.instance.address)
