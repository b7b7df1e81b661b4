"""Service names of etcd and NATS: what their services publish, and which services are clients."""

from __future__ import annotations

from typing import Any

from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import CLIENT_PORTS, Role
from ecs_dynamo.model.service_settings import PublishedPort, ServiceConnect, ServiceSettings
from ecs_dynamo.model.spec.graph import GraphSpec


def server_names(
    spec: GraphSpec, roles: frozenset[Role], template: dict[str, Any]
) -> ServiceSettings:
    """Return how etcd or NATS is found: its service registry or Service Connect endpoints.

    In ``template`` each port that Service Connect publishes gets a name, if it has none.
    """
    discovery = spec.infrastructure.service_discovery
    if discovery is None:
        return ServiceSettings()
    if (cloud_map := discovery.cloud_map) is not None:
        services = {Role.ETCD: cloud_map.etcd, Role.NATS: cloud_map.nats}
        arns = [s.registry_arn for role, s in services.items() if role in roles and s is not None]
        return ServiceSettings(service_registry=arns[0] if arns else None)
    names = dns_names(spec)
    published = [
        PublishedPort(
            mapping.setdefault("name", role.value), f"{spec.name}-{role}", names[role], port
        )
        for role, port in CLIENT_PORTS.items()
        if role in roles
        for container in template[CONTAINERS]
        for mapping in container.get("portMappings", ())
        if mapping.get("containerPort") == port
    ]
    return ServiceSettings(service_connect=_connect(spec, tuple(published)))


def client_names(spec: GraphSpec) -> ServiceSettings:
    """Return how a dependant finds etcd and NATS: by Service Connect's namespace, if declared."""
    return ServiceSettings(service_connect=_connect(spec))


def _connect(spec: GraphSpec, published: tuple[PublishedPort, ...] = ()) -> ServiceConnect | None:
    discovery = spec.infrastructure.service_discovery
    if discovery is None or discovery.service_connect is None:
        return None
    return ServiceConnect(discovery.service_connect.namespace, published)


def dns_names(spec: GraphSpec) -> dict[Role, str]:
    """Return the declared DNS names of etcd and NATS."""
    discovery = spec.infrastructure.service_discovery
    if discovery is None:
        return {}
    if discovery.service_connect is not None:
        connect = discovery.service_connect
        return {Role.ETCD: connect.etcd, Role.NATS: connect.nats}
    cloud_map = discovery.cloud_map
    services = {Role.ETCD: cloud_map.etcd, Role.NATS: cloud_map.nats} if cloud_map else {}
    return {role: service.dns_name for role, service in services.items() if service is not None}
