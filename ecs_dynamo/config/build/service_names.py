"""Names of etcd and NATS, put into the components: what their services get, and who is a client."""

from __future__ import annotations

from typing import Any, Final

from ecs_dynamo.config.task_definitions.prepare import CONTAINERS
from ecs_dynamo.model.graph import ETCD_CLIENT_PORT, NATS_CLIENT_PORT, Role
from ecs_dynamo.model.service_names import (
    Published,
    ServiceConnect,
    ServiceNames,
)
from ecs_dynamo.model.spec.graph import GraphSpec

_PORTS: Final = {Role.ETCD: ETCD_CLIENT_PORT, Role.NATS: NATS_CLIENT_PORT}


def server_names(spec: GraphSpec, roles: frozenset[Role], template: dict[str, Any]) -> ServiceNames:
    """How etcd or NATS is found. A port that Service Connect publishes is given a name."""
    names = spec.infrastructure.names
    if names is None:
        return ServiceNames()
    if (mapped := names.cloud_map) is not None:
        named = {Role.ETCD: mapped.etcd, Role.NATS: mapped.nats}
        found = (one for role, one in named.items() if role in roles and one is not None)
        return ServiceNames(registry=next((one.registry_arn for one in found), None))
    known = dns_names(spec)
    published = [
        Published(mapping.setdefault("name", role.value), f"{spec.name}-{role}", known[role], port)
        for role, port in _PORTS.items()
        if role in roles
        for container in template[CONTAINERS]
        for mapping in container.get("portMappings", ())
        if mapping.get("containerPort") == port
    ]
    return ServiceNames(connect=_connect(spec, tuple(published)))


def client_names(spec: GraphSpec) -> ServiceNames:
    """What a dependant's service gets: the namespace, where there is Service Connect."""
    return ServiceNames(connect=_connect(spec))


def _connect(spec: GraphSpec, published: tuple[Published, ...] = ()) -> ServiceConnect | None:
    names = spec.infrastructure.names
    if names is None or names.service_connect is None:
        return None
    return ServiceConnect(names.service_connect.namespace, published)


def dns_names(spec: GraphSpec) -> dict[Role, str]:
    """The declared names of etcd and NATS."""
    names = spec.infrastructure.names
    if names is None:
        return {}
    if names.service_connect is not None:
        connect = names.service_connect
        return {Role.ETCD: connect.etcd, Role.NATS: connect.nats}
    mapped = names.cloud_map
    found = {Role.ETCD: mapped.etcd, Role.NATS: mapped.nats} if mapped else {}
    return {role: one.dns_name for role, one in found.items() if one is not None}
