"""Comparisons of declarations and revisions independently of endpoints, ports and routing ids."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from ecs_dynamo.common.json_values import (
    JsonPath,
    map_json,
)
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    ROUTING_ID_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.rendering import render, with_routing_id

NOWHERE = Endpoints("http://etcd.invalid:2379", "nats://nats.invalid:4222")
"""Stand-ins for the endpoints where these do not matter."""


def declared_fingerprint(graph: Graph, component: Component, system_port: int) -> str:
    """Return the fingerprint of a declaration, independent of the current endpoints."""
    content = render(graph, component, NOWHERE, system_port)
    network = component.settings.network
    if network is not None:
        content = {**content, "networkConfiguration": network.model_dump(mode="json")}
    return fingerprint(content)


def with_endpoints(
    content: JsonObject, endpoints: Endpoints, containers: Collection[str] = ()
) -> JsonObject:
    """Return ``content`` with ``endpoints`` in place of its own, wherever these occur in it.

    Its own endpoints are read from the variables of ``containers``, which run Dynamo.
    """
    swaps: list[tuple[str, str]] = []
    for variable, new in ((ETCD_VARIABLE, endpoints.etcd), (NATS_VARIABLE, endpoints.nats)):
        old = environment_value(content, variable, containers)
        if old and new and old != new:
            swaps.append((old, new))
            before, after = urlsplit(old.split(",")[0]), urlsplit(new.split(",")[0])
            # etcd and NATS in one task share a host, so the port distinguishes them.
            for port in {before.port, None}:
                suffix = f":{port}" if port else ""
                swaps.append((f"{before.hostname}{suffix}", f"{after.hostname}{suffix}"))

    swaps.sort(key=lambda swap: -len(swap[0]))  # The most specific text is replaced first.

    def swap(value: Any, _path: JsonPath) -> Any:
        if isinstance(value, str):
            for old, new in swaps:
                if old in value:
                    return value.replace(old, new)
        return value

    if not swaps:
        return content
    changed: dict[str, Any] = map_json(content, swap)
    return with_routing_id(changed, containers)


def same_besides_endpoints(
    component: Component, content: JsonObject, other: JsonObject, endpoints: Endpoints
) -> bool:
    """Return whether two contents of the component's revisions differ in passing things only.

    `comparable` lists these.
    """
    names = dynamo_containers(component).names
    return comparable(content, endpoints, names) == comparable(other, endpoints, names)


def comparable(
    content: JsonObject, endpoints: Endpoints, containers: Collection[str] = ()
) -> JsonObject:
    """Return ``content`` in a form that is equal for revisions that differ only in passing things.

    These are the endpoints, the turn of the system port, and the routing id.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(with_endpoints(content, endpoints, containers)))
    for container in changed.get("containerDefinitions", ()):
        if "environment" in container:
            container["environment"] = [
                e
                for e in container["environment"]
                if e.get("name") not in (SYSTEM_PORT_VARIABLE, ROUTING_ID_VARIABLE)
            ]
    return changed
