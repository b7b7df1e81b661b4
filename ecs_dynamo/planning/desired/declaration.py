"""Comparing declarations independently of endpoints, ports and routing ids."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from ecs_dynamo.common.json_values import (
    JsonPath,
    map_json,
)
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    ROUTING_ID_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.planning.desired.fingerprint import fingerprint
from ecs_dynamo.planning.desired.rendering import identify, render
from ecs_dynamo.planning.desired.service_settings import declared_settings

_NOWHERE = Endpoints("http://etcd.invalid:2379", "nats://nats.invalid:4222")


def declared_fingerprint(graph: Graph, component: Component, system_port: int) -> str:
    """The fingerprint of what is declared, whatever the endpoints are."""
    content = render(graph, component, _NOWHERE, system_port)
    network = declared_settings(component).network
    if network is not None:
        content = {**content, "networkConfiguration": network.model_dump(mode="json")}
    return fingerprint(content)


def repoint(
    content: JsonObject, endpoints: Endpoints, containers: Collection[str] = ()
) -> JsonObject:
    """``content`` with other endpoints, wherever the present ones stand in it.

    ``containers``: names of those that run Dynamo, whose variables tell the present ones.
    """
    swaps: list[tuple[str, str]] = []
    for variable, new in ((ETCD_VARIABLE, endpoints.etcd), (NATS_VARIABLE, endpoints.nats)):
        old = environment_value(content, variable, containers)
        if old and new and old != new:
            swaps.append((old, new))
            before, after = urlsplit(old.split(",")[0]), urlsplit(new.split(",")[0])
            # etcd and NATS in one task share a host: it is told apart by the port.
            for port in {before.port, None}:
                suffix = f":{port}" if port else ""
                swaps.append((f"{before.hostname}{suffix}", f"{after.hostname}{suffix}"))

    swaps.sort(key=lambda swap: -len(swap[0]))  # What says most of where it points comes first.

    def swap(value: Any, _path: JsonPath) -> Any:
        if isinstance(value, str):
            for old, new in swaps:
                if old in value:
                    return value.replace(old, new)
        return value

    if not swaps:
        return content
    made: dict[str, Any] = map_json(content, swap)
    identify(made, containers)
    return made


def comparable(
    content: JsonObject, endpoints: Endpoints, containers: Collection[str] = ()
) -> JsonObject:
    """``content`` without what differs between revisions that are otherwise the same: the
    endpoints, the turn of the system port, and the routing id."""
    made: dict[str, Any] = copy.deepcopy(dict(repoint(content, endpoints, containers)))
    for container in made.get("containerDefinitions", ()):
        if "environment" in container:
            container["environment"] = [
                e
                for e in container["environment"]
                if e.get("name") not in (SYSTEM_PORT_VARIABLE, ROUTING_ID_VARIABLE)
            ]
    return made
