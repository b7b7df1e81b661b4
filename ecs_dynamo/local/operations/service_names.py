"""ECS's rules of service registries and Service Connect (ECS developer guide and API reference)."""

from __future__ import annotations

from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.state.entities import Service, TaskDefinition
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.names import mapping_named
from ecs_dynamo.local.wire.protocol import EcsError, Json, invalid

NAMES = ("serviceRegistries", "serviceConnectConfiguration")


def check_names(state: State, cloud_map: CloudMap, definition: TaskDefinition, asked: Json) -> None:
    """Refuse what ECS refuses. ``asked`` has all that the service is to have."""
    _check_registries(cloud_map, definition, asked.get("serviceRegistries") or [])
    connect = asked.get("serviceConnectConfiguration")
    if connect and connect.get("enabled"):
        _check_connect(state, cloud_map, definition, asked, connect)


def _check_registries(
    cloud_map: CloudMap, definition: TaskDefinition, registries: list[Json]
) -> None:
    if len(registries) > 1:
        raise invalid("Multiple service registries for each service are not supported.")
    for registry in registries:
        types = cloud_map.record_types(registry.get("registryArn", ""))
        if types is None:
            raise invalid(f"Service registry {registry.get('registryArn')} was not found.")
        named = bool(registry.get("containerName") and registry.get("containerPort"))
        if definition.network_mode != "awsvpc":
            if not named:
                raise invalid(
                    "When specifying 'host' or 'bridge' for networkMode, values for "
                    "'containerName' and 'containerPort' must be specified from the task definition"
                    "."
                )
            if "A" in types:
                raise invalid(
                    "The SRV record is the only DNS record type for networkMode 'host' or 'bridge'."
                )
        elif "SRV" in types and named == bool(registry.get("port")):
            raise invalid(
                "When specifying 'awsvpc' for networkMode and an SRV record, either "
                "'containerName' and 'containerPort' or 'port' must be specified."
            )


def _check_connect(
    state: State, cloud_map: CloudMap, definition: TaskDefinition, asked: Json, connect: Json
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
    mine = (asked.get("cluster"), asked.get("serviceName"))
    taken = _taken(state, cloud_map, namespace, mine)
    for one in connect.get("services") or ():
        if mapping_named(definition.containers, one["portName"]) is None:
            raise invalid(
                f"The portName {one['portName']} of Service Connect names no port mapping of the "
                "task definition."
            )
        aliases = one.get("clientAliases") or []
        if len(aliases) > 1:
            raise invalid("A Service Connect service can have at most 1 client alias.")
        for what in ((one.get("discoveryName") or one["portName"],), *map(_endpoint, aliases)):
            if what in taken:
                raise invalid(f"{':'.join(map(str, what))} is in use in namespace {namespace}.")
            taken.add(what)


def _endpoint(alias: Json) -> tuple[str, int]:
    return alias.get("dnsName", ""), int(alias["port"])


def _taken(
    state: State, cloud_map: CloudMap, namespace: str, mine: tuple[object, object]
) -> set[tuple[object, ...]]:
    """Discovery names and endpoints that other services have in ``namespace``."""
    found: set[tuple[object, ...]] = set()
    for service in state.services.values():
        connect = service.request.get("serviceConnectConfiguration")
        if service.status != "ACTIVE" or (service.cluster, service.name) == mine or not connect:
            continue
        if cloud_map.namespace(connect.get("namespace", "")) != namespace:
            continue
        for one in connect.get("services") or ():
            found.add((one.get("discoveryName") or one["portName"],))
            found |= set(map(_endpoint, one.get("clientAliases") or ()))
    return found


def names_change(service: Service, request: Json) -> bool:
    """Whether an UpdateService changes them, which begins a new deployment."""
    return any(key in request and request[key] != service.request.get(key) for key in NAMES)
