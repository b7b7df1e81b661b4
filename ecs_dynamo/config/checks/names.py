"""What is wrong with declared names of etcd and NATS, or with tasks that they can not serve.

Facts of the ECS developer guide. Service discovery: tasks in host or bridge mode have SRV records
alone, which Dynamo does not ask for; a service has one registry. Service Connect: awsvpc or bridge
mode, a named port mapping, and a memory limit of the whole task, in which its proxy runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic.alias_generators import to_camel

from ecs_dynamo.config.build.components import Built
from ecs_dynamo.config.build.service_names import dns_names
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import CONTAINERS
from ecs_dynamo.model.graph import NetworkMode, Role
from ecs_dynamo.model.spec.graph import (
    GraphSpec,
    InfraServiceSpec,
)
from ecs_dynamo.model.spec.infrastructure import (
    CloudMapNamesSpec,
    NamesSpec,
)

PLACE: Final[FieldPath] = ("infrastructure", "names")


def check_names(spec: GraphSpec, built: list[Built], document: Document, report: Report) -> None:
    """Check the declared names against the servers and the tasks that use them."""
    names = spec.infrastructure.names
    if names is None:
        return
    _check_roles(spec, names, document, report)
    etcd = spec.infrastructure.etcd
    if etcd is not None and etcd.replicas > 1 and Role.ETCD in dns_names(spec):
        message = "etcd is a cluster, whose dependants have the addresses of all its members"
        remedy = "leave its name out (cloudMap may name nats alone), or set etcd.replicas to 1"
        report.error(document, PLACE, message, remedy)
    _check_servers(spec, names, built, report)
    if names.cloud_map is not None:
        _check_cloud_map(spec, names.cloud_map, document, report)
    if names.service_connect is not None:
        _check_connect(built, report)
    _warn_of_lost_data(spec, names, document, report)


def _parts(spec: GraphSpec) -> Iterator[tuple[Role, InfraServiceSpec | None]]:
    """etcd and NATS where they have a task definition or endpoints of their own."""
    yield Role.ETCD, spec.infrastructure.etcd
    yield Role.NATS, spec.infrastructure.nats


def _check_roles(spec: GraphSpec, names: NamesSpec, document: Document, report: Report) -> None:
    """A name is for what the graph runs."""
    infra = spec.infrastructure
    kind = "cloudMap" if names.cloud_map is not None else "serviceConnect"
    declared = (names.cloud_map or names.service_connect or names).model_fields_set
    if infra.task_definition is not None:
        return
    runs = {role for role, part in _parts(spec) if part and part.task_definition is not None}
    for role, part in _parts(spec):
        if role in runs or role.value not in declared:
            continue
        why = f"{role} has endpoints of its own" if part else f"the graph has no {role}"
        remedy = "remove it" + (f", or run {role} by a taskDefinition" if part else "")
        report.error(document, (*PLACE, kind, role.value), f"a name for {role}, but {why}", remedy)
    if not runs and names.service_connect is not None:
        message = "the graph runs neither etcd nor NATS: there is nothing to name"
        report.error(document, PLACE, message, "remove names")


def _check_servers(spec: GraphSpec, names: NamesSpec, built: list[Built], report: Report) -> None:
    dns_of = dns_names(spec)
    for one in built:
        component = one.component
        if component.network_mode is NetworkMode.AWSVPC or not component.roles & dns_of.keys():
            continue
        why = (
            "for which Cloud Map has SRV records alone: its name would not resolve to an address"
            if names.cloud_map is not None
            else "in which just Service Connect's clients would reach it, and not the daemon"
        )
        report.error(
            one.definition.document,
            one.definition.at("networkMode"),
            f"{component.name} is in {component.network_mode} mode, {why}",
            "set networkMode to awsvpc",
        )


def _check_cloud_map(
    spec: GraphSpec, names: CloudMapNamesSpec, document: Document, report: Report
) -> None:
    """One name for what is one service, and two for what is two."""
    if names.etcd is None or names.nats is None:
        return
    together = spec.infrastructure.task_definition is not None
    for field in ("registry_arn", "dns_name"):
        if together == (getattr(names.etcd, field) == getattr(names.nats, field)):
            continue
        message, remedy = (
            (
                "etcd and NATS run in one task, and an ECS service has one registry",
                "write that of etcd, or give each its own taskDefinition",
            )
            if together
            else ("etcd and NATS are two services, and this is that of etcd", "write its own")
        )
        path = (*PLACE, "cloudMap", "nats", to_camel(field))
        report.error(document, path, message, remedy)


def _check_connect(built: list[Built], report: Report) -> None:
    for one in built:
        component = one.component
        if component.network_mode is NetworkMode.HOST and not component.is_infrastructure:
            report.error(
                one.definition.document,
                one.definition.at("networkMode"),
                f"{component.name} is in host mode, in which Service Connect has no proxy",
                "set networkMode to awsvpc, or use infrastructure.names.cloudMap",
            )
        if "memory" not in component.template:
            report.error(
                one.definition.document,
                one.definition.at("memory"),
                f"{component.name} has no memory limit of the whole task, which Service Connect "
                "needs for its proxy",
                "add memory (MiB) beside containerDefinitions, 64 more than its containers need",
            )
        if component.is_infrastructure:
            _check_protocols(one, report)


def _check_protocols(one: Built, report: Report) -> None:
    connect = one.component.names.connect
    published = {p.port_name for p in connect.publishes} if connect else set()
    for index, container in enumerate(one.containers):
        for number, mapping in enumerate(_mappings(container)):
            if mapping.get("name") in published and "appProtocol" in mapping:
                report.error(
                    one.definition.document,
                    one.definition.at(CONTAINERS, index, "portMappings", number, "appProtocol"),
                    f"with appProtocol {mapping['appProtocol']} Service Connect ends requests that "
                    "take long, and watches of etcd never end",
                    "remove appProtocol: the port is carried as TCP then",
                )


def _mappings(container: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = container.get("portMappings", [])
    return found


def _warn_of_lost_data(
    spec: GraphSpec, names: NamesSpec, document: Document, report: Report
) -> None:
    etcd = spec.infrastructure.etcd
    named = names.cloud_map is None or names.cloud_map.etcd is not None
    kept = etcd is not None and (etcd.volume is not None or etcd.replicas > 1 or etcd.endpoints)
    if named and not kept:
        report.warn(
            document,
            PLACE,
            "a replaced etcd has the same name and none of the data: Dynamo's processes lose their "
            "leases and exit, and ECS starts them again",
            "give infrastructure.etcd a volume; the name alone spares just the new revision",
        )
