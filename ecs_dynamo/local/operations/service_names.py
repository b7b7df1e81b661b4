"""ECS's rules for service registries and Service Connect (developer guide and API reference)."""

from __future__ import annotations

from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.state.entities import Service, TaskDefinition
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.name_resolution import port_mapping
from ecs_dynamo.local.wire.protocol import EcsError, Json, invalid

NAME_PARAMETERS = ("serviceRegistries", "serviceConnectConfiguration")


def check_names(
    state: State, cloud_map: CloudMap, definition: TaskDefinition, service: Json
) -> None:
    """Check ``service``, which has all parameters of the service. Raises EcsError."""
    _check_registries(cloud_map, definition, service.get("serviceRegistries") or [])
    connect = service.get("serviceConnectConfiguration")
    if connect and connect.get("enabled"):
        _check_connect(state, cloud_map, definition, service, connect)


def _check_registries(
    cloud_map: CloudMap, definition: TaskDefinition, registries: list[Json]
) -> None:
    if len(registries) > 1:
        raise invalid("Multiple service registries for each service are not supported.")
    for registry in registries:
        types = cloud_map.record_types(registry.get("registryArn", ""))
        if types is None:
            raise invalid(f"Service registry {registry.get('registryArn')} was not found.")
        has_container = bool(registry.get("containerName") and registry.get("containerPort"))
        if definition.network_mode != "awsvpc":
            if not has_container:
                raise invalid(
                    "When specifying 'host' or 'bridge' for networkMode, values for "
                    "'containerName' and 'containerPort' must be specified from the task definition"
                    "."
                )
            if "A" in types:
                raise invalid(
                    "The SRV record is the only DNS record type for networkMode 'host' or 'bridge'."
                )
        elif "SRV" in types and has_container == bool(registry.get("port")):
            raise invalid(
                "When specifying 'awsvpc' for networkMode and an SRV record, either "
                "'containerName' and 'containerPort' or 'port' must be specified."
            )


def _check_connect(
    state: State, cloud_map: CloudMap, definition: TaskDefinition, service: Json, connect: Json
) -> None:
    if definition.network_mode not in ("awsvpc", "bridge"):
        raise invalid("Service Connect supports the network modes awsvpc and bridge only.")
    if not definition.content.get("memory"):
        raise invalid("Service Connect needs a task memory limit in the task definition.")
    namespace = cloud_map.namespace(connect.get("namespace", ""))
    if namespace is None:
        raise EcsError(
            "NamespaceNotFoundException", f"Failed to retrieve namespace {connect.get('namespace')}"
        )
    identity = (service.get("cluster"), service.get("serviceName"))
    used = _used_names(state, cloud_map, namespace, identity)
    for published in connect.get("services") or ():
        port_name = published["portName"]
        if port_mapping(definition.containers, port_name) is None:
            raise invalid(
                f"The portName {port_name} of Service Connect names no port mapping of the "
                "task definition."
            )
        aliases = published.get("clientAliases") or []
        if len(aliases) > 1:
            raise invalid("A Service Connect service can have at most 1 client alias.")
        for name in ((published.get("discoveryName") or port_name,), *map(_endpoint, aliases)):
            if name in used:
                raise invalid(f"{':'.join(map(str, name))} is in use in namespace {namespace}.")
            used.add(name)


def _endpoint(alias: Json) -> tuple[str, int]:
    return alias.get("dnsName", ""), int(alias["port"])


def _used_names(
    state: State, cloud_map: CloudMap, namespace: str, excluded: tuple[object, object]
) -> set[tuple[object, ...]]:
    """Return the discovery names and endpoints of other services in ``namespace``."""
    names: set[tuple[object, ...]] = set()
    for service in state.services.values():
        connect = service.request.get("serviceConnectConfiguration")
        if service.status != "ACTIVE" or (service.cluster, service.name) == excluded or not connect:
            continue
        if cloud_map.namespace(connect.get("namespace", "")) != namespace:
            continue
        for published in connect.get("services") or ():
            names.add((published.get("discoveryName") or published["portName"],))
            names |= set(map(_endpoint, published.get("clientAliases") or ()))
    return names


def names_changed(service: Service, request: Json) -> bool:
    """Whether UpdateService changes the names, which starts a new deployment."""
    return any(
        key in request and request[key] != service.request.get(key) for key in NAME_PARAMETERS
    )
