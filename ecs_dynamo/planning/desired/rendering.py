"""Task definitions with the endpoints and Dynamo's runtime settings injected.

Settings are injected only into containers that run Dynamo (`model.dynamo.containers`). The user's
file has precedence: endpoints replace existing values, because keeping them right is this module's
purpose, but any other setting is added only where the user has not set it. Variables that come as
`secrets` references are never changed. In every container the placeholder of an address is replaced
by the address.
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
from ecs_dynamo.model.dynamo.drain import drain_environment, with_stop_timeout
from ecs_dynamo.model.dynamo.listening_ports import SIDE_CHANNEL_VARIABLE
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NAMESPACE_VARIABLE,
    NATS_VARIABLE,
    PLACEHOLDER,
    PREFIX_VARIABLE,
    ROUTING_ID_VARIABLE,
    RUNTIME_DRAIN_VARIABLE,
    SUFFIX_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import containers_in, variable_value
from ecs_dynamo.model.generations import frontend_prefix, planner_namespace
from ecs_dynamo.model.graph import (
    ETCD_CLIENT_PORT,
    NATS_CLIENT_PORT,
    Component,
    Graph,
    JsonObject,
    NetworkMode,
    Role,
)
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.planning.desired.canonical import fingerprint, means_the_same
from ecs_dynamo.planning.desired.ports import (
    own_side_channel,
    reserved_ports,
    without_unusable_checks,
)

ROUTING_ID_PREFIX = "ecs-dynamo-"
"""Prefix of the routing ids that `with_routing_id` sets."""

_PLACEHOLDER = re.compile(rf"{PLACEHOLDER}(?P<port>:\d+)?")


def _host(endpoint: str | None) -> str | None:
    return urlsplit(endpoint.split(",")[0]).hostname if endpoint else None


def fill_placeholders(text: str, endpoints: Endpoints, name: str = "") -> str:
    """Replace ``IP_ADDRESS`` with the host of etcd or NATS, depending on the port that follows it.

    Without one of their ports, a ``name`` that contains "NATS" selects NATS, and any other etcd.
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
    """Return Dynamo's settings that must agree between components (names: Dynamo 1.6.1).

    The system port and the endpoint health are set for workers only: a frontend serves `/health`.
    """
    runtime = graph.runtime
    values = {
        NAMESPACE_VARIABLE: _namespace(graph, component),
        "DYN_REQUEST_PLANE": runtime.request_plane,
        "DYN_EVENT_PLANE": runtime.event_plane,
        RUNTIME_DRAIN_VARIABLE: f"{graph.drain_seconds(component):g}",
        "ETCD_LEASE_TTL": str(runtime.lease_seconds),
        **drain_environment(graph, component),
    }
    if component.generation is not None:
        values[SUFFIX_VARIABLE] = component.generation
    prefix = frontend_prefix(graph.namespace, graph.generations.mode)
    if component.is_frontend and prefix is not None:
        values[PREFIX_VARIABLE] = prefix
    if component.is_worker:
        values[SYSTEM_PORT_VARIABLE] = str(system_port)
        values["DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS"] = '["generate"]'
    return values


def _namespace(graph: Graph, component: Component) -> str:
    """Return the namespace that a component's processes get; a planner needs that of its workers.

    Outside of Kubernetes it counts the workers of exactly this namespace.
    """
    serves = component.is_frontend or component.is_worker
    if Role.PLANNER in component.roles and not serves:
        return planner_namespace(graph.namespace, graph.generations)
    return graph.namespace


def render(
    graph: Graph, component: Component, endpoints: Endpoints, system_port: int
) -> JsonObject:
    """Return the RegisterTaskDefinition content of ``component`` with ``endpoints`` injected.

    Infrastructure is rendered as declared.
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
    side_channel = own_side_channel(component)
    if side_channel is not None:
        defaults[SIDE_CHANNEL_VARIABLE] = str(side_channel)
    containers = []
    for container in content.get("containerDefinitions", ()):
        if container["name"] in dynamo:
            environment = _environment(container, endpoints, defaults)
            container = with_secrets({**container, "environment": environment}, graph.security)
            container = with_stop_timeout(graph, component, container)
        else:
            container = _with_addresses(container, endpoints)
        for key in ("command", "entryPoint"):
            if key in container:
                words = [fill_placeholders(word, endpoints) for word in container[key]]
                container = {**container, key: words}
        if container["name"] in dynamo[:1]:
            container = _with_mapped_ports(graph, component, container)
        containers.append(container)
    if containers:
        content["containerDefinitions"] = containers
    if component.network_mode is NetworkMode.HOST:
        return with_routing_id(without_unusable_checks(graph, component, content), dynamo)
    return content


def _environment(
    container: Mapping[str, Any], endpoints: Endpoints, defaults: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return the environment of a Dynamo container, sorted by name."""
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
            # An address that does not answer would block Dynamo's start for two minutes.
            values.pop(name, None)
    for name, value in defaults.items():
        if name not in secrets:
            values.setdefault(name, value)
    return [{"name": name, "value": values[name]} for name in sorted(values)]


def _with_addresses(container: Mapping[str, Any], endpoints: Endpoints) -> dict[str, Any]:
    """Return a container that does not run Dynamo, with addresses for its placeholders.

    Nothing else in it changes: neither its variables nor their order.
    """
    if "environment" not in container:
        return dict(container)
    entries = [
        {**e, "value": fill_placeholders(e["value"], endpoints, e.get("name", ""))}
        if "value" in e
        else e
        for e in container["environment"]
    ]
    return {**container, "environment": entries}


def _with_mapped_ports(
    graph: Graph, component: Component, container: dict[str, Any]
) -> dict[str, Any]:
    """Return a worker's container with its ports declared to ECS, where ECS needs them.

    In bridge mode ECS maps the system port to a free port of the instance (hostPort 0), because the
    container's own address cannot be reached from outside the instance. In host mode ECS reserves
    the ports that every replica uses.
    """
    ports = {port: port for port in reserved_ports(graph, component)}
    if component.is_worker and component.network_mode is NetworkMode.BRIDGE:
        text = variable_value(container, SYSTEM_PORT_VARIABLE) or ""
        ports = {int(text): 0} if text.isdecimal() and int(text) else {}
    mappings = list(container.get("portMappings", ()))
    mapped = {m.get("containerPort") for m in mappings}
    added = [
        {"containerPort": port, "hostPort": host_port, "protocol": "tcp"}
        for port, host_port in ports.items()
        if port not in mapped
    ]
    return {**container, "portMappings": [*mappings, *added]} if added else container


def with_routing_id(content: JsonObject, dynamo: Collection[str]) -> JsonObject:
    """Return ``content`` with a routing id of its own, if its workers choose their ports.

    Such workers can share an address with those of other revisions. Dynamo copies the id into the
    model card, where it identifies the revision. Measured on Dynamo 1.6.1: the id is not part of
    the card's checksum, and only custom worker selectors read it. An id that the user has set is
    kept; one that this function set before is renewed.
    """
    containers = containers_in(content)
    ours = [
        c["name"] in dynamo and variable_value(c, SYSTEM_PORT_VARIABLE) == "0" for c in containers
    ]
    if not any(ours):
        return content
    bare = [
        _without_own_routing_id(c) if own else c for c, own in zip(containers, ours, strict=True)
    ]
    digest = fingerprint({**content, "containerDefinitions": bare})
    entry = {"name": ROUTING_ID_VARIABLE, "value": f"{ROUTING_ID_PREFIX}{digest}"}
    identified = []
    for container, own in zip(bare, ours, strict=True):
        secrets = {e["name"] for e in container.get("secrets", ())}
        is_set = (
            variable_value(container, ROUTING_ID_VARIABLE) is not None or entry["name"] in secrets
        )
        if own and not is_set:
            entries = sorted([*container["environment"], entry], key=lambda e: str(e["name"]))
            container = {**container, "environment": entries}
        identified.append(container)
    return {**content, "containerDefinitions": identified}


def _without_own_routing_id(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``container`` without the routing id that `with_routing_id` set."""
    if not (variable_value(container, ROUTING_ID_VARIABLE) or "").startswith(ROUTING_ID_PREFIX):
        return container
    entries = [e for e in container["environment"] if e.get("name") != ROUTING_ID_VARIABLE]
    return {**container, "environment": entries}


def same_without_routing_ids(content: JsonObject, other: JsonObject) -> bool:
    """Return whether two task definitions are equal for ECS, apart from our routing ids.

    The ids that `with_routing_id` set change with any other content, so alone they are not a
    change.
    """
    bare, other_bare = (
        {**c, "containerDefinitions": [_without_own_routing_id(d) for d in containers_in(c)]}
        for c in (content, other)
    )
    return means_the_same(bare, other_bare)


def with_secrets(container: dict[str, Any], security: SecuritySpec) -> dict[str, Any]:
    """Return ``container`` with the references to secrets, except for names that it already has."""
    taken = {e["name"] for key in ("environment", "secrets") for e in container.get(key, ())}
    added = [
        {"name": name, "valueFrom": reference}
        for name, reference in sorted(secret_variables(security).items())
        if name not in taken
    ]
    if not added:
        return container
    return {**container, "secrets": [*container.get("secrets", ()), *added]}
