"""Task definitions with the endpoints and Dynamo's runtime settings injected.

Only the containers that run Dynamo are given anything (`planning.containers`). The user's own file
stays in charge: endpoints replace what is there, since keeping them right is our job, but every
other setting is only added where the user left it open. What comes as a `secrets` reference is
never touched. In every container the placeholder of an address is replaced by the address.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.credentials import (
    path_variables,
    secret_variables,
)
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    PLACEHOLDER,
    ROUTING_ID_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.graph import (
    ETCD_CLIENT_PORT,
    NATS_CLIENT_PORT,
    Component,
    Graph,
    JsonObject,
    NetworkMode,
)
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.planning.desired.fingerprint import fingerprint
from ecs_dynamo.planning.desired.ports import (
    declare_port,
    reserved_port,
)

ROUTING_ID_PREFIX = "ecs-dynamo-"
"""How the routing ids begin that `identify` gives."""

_PLACEHOLDER = re.compile(rf"{PLACEHOLDER}(?P<port>:\d+)?")


def _host(endpoint: str | None) -> str | None:
    return urlsplit(endpoint.split(",")[0]).hostname if endpoint else None


def fill_placeholders(text: str, endpoints: Endpoints, name: str = "") -> str:
    """Replace ``IP_ADDRESS`` with the host of etcd or NATS, told apart by the port behind it.

    Where the port tells nothing, a name that speaks of NATS means NATS; else it means etcd.
    """
    etcd, nats = _host(endpoints.etcd), _host(endpoints.nats)

    def fill(match: re.Match[str]) -> str:
        port = match["port"] or ""
        wants_nats = port == f":{NATS_CLIENT_PORT}" or (
            port != f":{ETCD_CLIENT_PORT}" and "NATS" in name.upper()
        )
        host = nats if wants_nats else etcd
        return match[0] if host is None else f"{host}{port}"

    return _PLACEHOLDER.sub(fill, text)


def runtime_environment(graph: Graph, component: Component, system_port: int) -> dict[str, str]:
    """Dynamo's settings that must agree between components (names: Dynamo 1.6.1).

    The system port and endpoint health are a worker's alone: a frontend serves its own /health.
    """
    runtime = graph.runtime
    values = {
        "DYN_NAMESPACE": graph.namespace,
        "DYN_REQUEST_PLANE": runtime.request_plane,
        "DYN_EVENT_PLANE": runtime.event_plane,
        "DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS": f"{runtime.drain_seconds:g}",
        "ETCD_LEASE_TTL": str(runtime.lease_seconds),
    }
    if component.is_worker:
        values[SYSTEM_PORT_VARIABLE] = str(system_port)
        values["DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS"] = '["generate"]'
    return values


def _environment(
    container: Mapping[str, Any],
    endpoints: Endpoints,
    defaults: Mapping[str, str],
) -> list[dict[str, str]]:
    values = {
        e["name"]: fill_placeholders(e.get("value", ""), endpoints, e["name"])
        for e in container.get("environment", ())
    }
    secrets = {e["name"] for e in container.get("secrets", ())}
    injected = {ETCD_VARIABLE: endpoints.etcd, NATS_VARIABLE: endpoints.nats}
    for name, value in injected.items():
        if name in secrets:
            continue
        if value is not None:
            values[name] = value
        else:
            # An address that nobody serves would block Dynamo's start for two minutes.
            values.pop(name, None)
    for name, value in defaults.items():
        if name not in secrets:
            values.setdefault(name, value)
    return [{"name": name, "value": values[name]} for name in sorted(values)]


def _fill_addresses(container: dict[str, Any], endpoints: Endpoints) -> None:
    """Replace the placeholder in the environment of a container that does not run Dynamo.

    Nothing else of it changes: neither its variables nor their order.
    """
    for entry in container.get("environment", ()):
        if "value" in entry:
            entry["value"] = fill_placeholders(entry["value"], endpoints, entry.get("name", ""))


def render(
    graph: Graph, component: Component, endpoints: Endpoints, system_port: int
) -> JsonObject:
    """The RegisterTaskDefinition content of ``component`` with ``endpoints`` injected.

    Infrastructure is rendered as it is. Pure: the template is not changed.
    """
    content: dict[str, Any] = copy.deepcopy(dict(component.template))
    content["family"] = component.family
    if component.is_infrastructure:
        return content
    dynamo = dynamo_containers(component).names
    defaults = {
        **runtime_environment(graph, component, system_port),
        **path_variables(graph.security),
    }
    for container in content.get("containerDefinitions", ()):
        if container["name"] in dynamo:
            container["environment"] = _environment(container, endpoints, defaults)
            add_secrets(container, graph.security)
        else:
            _fill_addresses(container, endpoints)
        for key in ("command", "entryPoint"):
            if key in container:
                container[key] = [fill_placeholders(word, endpoints) for word in container[key]]
    for container in content.get("containerDefinitions", ()):
        if container["name"] in dynamo[:1]:
            _map_system_port(graph, component, container)
    if component.network_mode is NetworkMode.HOST:
        identify(content, dynamo)
    return content


def _map_system_port(graph: Graph, component: Component, container: dict[str, Any]) -> None:
    """Declare the worker's system port to ECS where it has to know it.

    bridge: ECS maps it to a free port of the instance (hostPort 0), as nothing outside the instance
    reaches the container's own address. host: only a port that the task definition fixes.
    """
    port = reserved_port(graph, component)
    host_port = port
    if component.is_worker and component.network_mode is NetworkMode.BRIDGE:
        text = _variable(container, SYSTEM_PORT_VARIABLE) or ""
        port, host_port = int(text) if text.isdecimal() else None, 0
    if port and host_port is not None:
        declare_port(container, port, host_port)


def identify(content: dict[str, Any], dynamo: Collection[str]) -> None:
    """Give a revision whose workers choose their ports a routing id of its own.

    Its workers can share an address with those of other revisions, and each registers as it is
    found: the id, which is in the model card, then tells the revision. Measured on Dynamo 1.6.1: it
    is no part of the card's checksum, and only worker selectors that users plug in read it. One
    that the user has set is left alone. Calling it again for changed content renews it.
    """
    ours = [
        c
        for c in content.get("containerDefinitions", ())
        if c["name"] in dynamo and _variable(c, SYSTEM_PORT_VARIABLE) == "0"
    ]
    for container in ours:
        if (_variable(container, ROUTING_ID_VARIABLE) or "").startswith(ROUTING_ID_PREFIX):
            container["environment"] = [
                e for e in container["environment"] if e["name"] != ROUTING_ID_VARIABLE
            ]
    if not ours:
        return
    entry = {"name": ROUTING_ID_VARIABLE, "value": f"{ROUTING_ID_PREFIX}{fingerprint(content)}"}
    for container in ours:
        secrets = {e["name"] for e in container.get("secrets", ())}
        if _variable(container, ROUTING_ID_VARIABLE) is None and entry["name"] not in secrets:
            container["environment"] = sorted(
                [*container["environment"], entry], key=lambda e: str(e["name"])
            )


def anonymous(content: JsonObject) -> JsonObject:
    """``content`` without the routing ids that `identify` gives: they change with anything else,
    and alone they are no change."""

    def kept(entry: Mapping[str, Any]) -> bool:
        ours = str(entry.get("value", "")).startswith(ROUTING_ID_PREFIX)
        return not (entry.get("name") == ROUTING_ID_VARIABLE and ours)

    return {
        **content,
        "containerDefinitions": [
            {**c, "environment": [e for e in c["environment"] if kept(e)]}
            if "environment" in c
            else c
            for c in content.get("containerDefinitions", ())
        ],
    }


def _variable(container: Mapping[str, Any], name: str) -> str | None:
    found = (e.get("value", "") for e in container.get("environment", ()) if e["name"] == name)
    return next(found, None)


def add_secrets(container: dict[str, Any], security: SecuritySpec) -> None:
    """Add the references to ``container``, but for names that it has already."""
    taken = {e["name"] for key in ("environment", "secrets") for e in container.get(key, ())}
    added = [
        {"name": name, "valueFrom": reference}
        for name, reference in sorted(secret_variables(security).items())
        if name not in taken
    ]
    if added:
        container["secrets"] = [*container.get("secrets", ()), *added]
