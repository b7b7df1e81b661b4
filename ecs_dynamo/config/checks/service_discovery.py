"""Checks of declared service discovery against the servers and the tasks that use it.

Facts of the ECS developer guide. Service discovery: tasks in host or bridge mode have SRV records
only, which Dynamo does not query; a service has one registry. Service Connect: awsvpc or bridge
mode, a named port mapping, and a memory limit of the whole task, in which its proxy runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic.alias_generators import to_camel

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.build.service_names import dns_names
from ecs_dynamo.config.reading.document import Document, FieldPath
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import NetworkMode, Role
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.infrastructure import InfraServiceSpec
from ecs_dynamo.model.spec.service_discovery import CloudMapSpec, ServiceDiscoverySpec

KEY: Final = "serviceDiscovery"
PATH: Final[FieldPath] = ("infrastructure", KEY)


def check_service_discovery(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Report names that the servers cannot have, and tasks that cannot use them."""
    discovery = spec.infrastructure.service_discovery
    if discovery is None:
        return
    _check_roles(spec, discovery, document, report)
    etcd = spec.infrastructure.etcd
    if etcd is not None and etcd.replicas > 1 and Role.ETCD in dns_names(spec):
        message = "etcd is a cluster: its dependants have the addresses of all members, not a name"
        remedy = "leave its name out (cloudMap may name nats alone), or set etcd.replicas to 1"
        report.error(document, PATH, message, remedy)
    _check_servers(spec, discovery, components, report)
    if discovery.cloud_map is not None:
        _check_cloud_map(spec, discovery.cloud_map, document, report)
    if discovery.service_connect is not None:
        _check_service_connect(components, report)
    _warn_of_lost_data(spec, discovery, document, report)


def _servers(spec: GraphSpec) -> Iterator[tuple[Role, InfraServiceSpec | None]]:
    """Yield etcd and NATS where each has a task definition or endpoints of its own."""
    yield Role.ETCD, spec.infrastructure.etcd
    yield Role.NATS, spec.infrastructure.nats


def _check_roles(
    spec: GraphSpec, discovery: ServiceDiscoverySpec, document: Document, report: Report
) -> None:
    """Reject names of servers that the graph does not run."""
    infrastructure = spec.infrastructure
    kind = "cloudMap" if discovery.cloud_map is not None else "serviceConnect"
    declared = (discovery.cloud_map or discovery.service_connect or discovery).model_fields_set
    if infrastructure.task_definition is not None:
        return
    servers = dict(_servers(spec))
    run = {role for role, server in servers.items() if server and server.task_definition}
    for role, server in servers.items():
        if role in run or role.value not in declared:
            continue
        why = f"{role} has endpoints of its own" if server else f"the graph has no {role}"
        remedy = "remove it" + (f", or run {role} by a taskDefinition" if server else "")
        report.error(document, (*PATH, kind, role.value), f"a name for {role}, but {why}", remedy)
    if not run and discovery.service_connect is not None:
        message = "the graph runs neither etcd nor NATS: there is nothing to name"
        report.error(document, PATH, message, f"remove {document.as_written(PATH)[-1]}")


def _check_servers(
    spec: GraphSpec,
    discovery: ServiceDiscoverySpec,
    components: list[BuiltComponent],
    report: Report,
) -> None:
    names = dns_names(spec)
    for built in components:
        component = built.component
        if component.network_mode is NetworkMode.AWSVPC or not component.roles & names.keys():
            continue
        why = (
            "for which Cloud Map has SRV records only: its name would not resolve to an address"
            if discovery.cloud_map is not None
            else "in which only clients of Service Connect could reach it, and not the daemon"
        )
        report.error(
            built.definition.document,
            built.definition.at("networkMode"),
            f"{component.name} is in {component.network_mode} mode, {why}",
            "set networkMode to awsvpc",
        )


def _check_cloud_map(
    spec: GraphSpec, cloud_map: CloudMapSpec, document: Document, report: Report
) -> None:
    """Require one registry and name for one service, and different ones for two services."""
    if cloud_map.etcd is None or cloud_map.nats is None:
        return
    together = spec.infrastructure.task_definition is not None
    for field in ("registry_arn", "dns_name"):
        if together == (getattr(cloud_map.etcd, field) == getattr(cloud_map.nats, field)):
            continue
        key = to_camel(field)
        message, remedy = (
            (
                "etcd and NATS run in one task, and an ECS service has one registry: "
                f"{key} must be the same for both",
                "write that of etcd, or give each its own taskDefinition",
            )
            if together
            else (
                f"etcd and NATS are two services, but they have the same {key}",
                "write that of NATS",
            )
        )
        report.error(document, (*PATH, "cloudMap", "nats", key), message, remedy)


def _check_service_connect(components: list[BuiltComponent], report: Report) -> None:
    for built in components:
        component, definition = built.component, built.definition
        if component.network_mode is NetworkMode.HOST and not component.is_infrastructure:
            report.error(
                definition.document,
                definition.at("networkMode"),
                f"{component.name} is in host mode, which Service Connect does not support",
                f"set networkMode to awsvpc, or use infrastructure.{KEY}.cloudMap",
            )
        if "memory" not in component.template:
            report.error(
                definition.document,
                definition.at("memory"),
                f"{component.name} has no memory limit of the whole task, which Service Connect "
                "needs for its proxy",
                "add memory (MiB) beside containerDefinitions, 64 more than its containers need",
            )
        if component.is_infrastructure:
            _check_protocols(built, report)


def _check_protocols(built: BuiltComponent, report: Report) -> None:
    connect = built.component.settings.service_connect
    published = {p.port_name for p in connect.publishes} if connect else set()
    for index, container in enumerate(built.containers):
        for number, mapping in enumerate(container.get("portMappings", ())):
            if mapping.get("name") in published and "appProtocol" in mapping:
                report.error(
                    built.definition.document,
                    built.definition.at(CONTAINERS, index, "portMappings", number, "appProtocol"),
                    f"with appProtocol {mapping['appProtocol']} Service Connect ends long "
                    "requests, and watches of etcd never end",
                    "remove appProtocol, so that Service Connect forwards the port as TCP",
                )


def _warn_of_lost_data(
    spec: GraphSpec, discovery: ServiceDiscoverySpec, document: Document, report: Report
) -> None:
    etcd = spec.infrastructure.etcd
    named = discovery.cloud_map is None or discovery.cloud_map.etcd is not None
    kept = etcd is not None and (etcd.volume is not None or etcd.replicas > 1 or etcd.endpoints)
    if named and not kept:
        report.warn(
            document,
            PATH,
            "a replaced etcd has the same name but none of the data: Dynamo's processes lose their "
            "leases and exit, and ECS starts them again",
            "give infrastructure.etcd a volume; the name alone only avoids a new revision",
        )
