"""Checks of declared TLS and credentials against the servers and the tasks that use them."""

from __future__ import annotations

from typing import Any, Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.build.service_names import dns_names
from ecs_dynamo.config.build.volumes import serving_container
from ecs_dynamo.config.reading.document import Document
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.credentials import (
    path_variables,
    secret_variables,
)
from ecs_dynamo.model.ecs.task_definition import CONTAINERS, command_words
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.graph import GraphSpec

_SERVER_CERTIFICATE: Final = {
    Role.ETCD: ("--cert-file", "-cert-file", "ETCD_CERT_FILE", "--auto-tls"),
    Role.NATS: ("--tlscert", "-tlscert", "--tls", "-tls"),
}
"""Options that make a server use TLS. NATS also has a configuration file, which is not read."""


def check_security(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Report security that does not fit the servers, or that tasks cannot receive."""
    security = spec.infrastructure.security
    if not spec.infrastructure.has_nats and security.nats != type(security.nats)():
        report.error(
            document,
            ("infrastructure", "security", "nats"),
            "the graph has no NATS",
            "add infrastructure.nats, or remove this",
        )
    _check_endpoints(spec, document, report)
    for built in components:
        if built.component.is_infrastructure:
            _check_server(spec, built, document, report)
        else:
            _check_dependant(spec, built, report)


def _has_tls(spec: GraphSpec, role: Role) -> bool:
    security = spec.infrastructure.security
    return (security.etcd if role is Role.ETCD else security.nats).tls is not None


def _check_endpoints(spec: GraphSpec, document: Document, report: Report) -> None:
    servers = {Role.ETCD: spec.infrastructure.etcd, Role.NATS: spec.infrastructure.nats}
    for role, server in servers.items():
        tls = _has_tls(spec, role)
        secure, plain = ("https", "http") if role is Role.ETCD else ("tls", "nats")
        for index, url in enumerate(server.endpoints if server else ()):
            path = ("infrastructure", role.value, "endpoints", index)
            scheme = url.partition("://")[0]
            if tls and scheme == plain:
                message = f"TLS is declared for {role}, but this endpoint does not use it"
                report.warn(document, path, message, f"write {secure}://")
            elif not tls and scheme == secure:
                message = (
                    "Dynamo (1.6.1) uses TLS for etcd only with a CA and a client certificate"
                    if role is Role.ETCD
                    else "no TLS is declared for nats: only public certificate authorities are "
                    "trusted"
                )
                remedy = f"declare infrastructure.security.{role}.tls"
                report.warn(document, path, message, f"{remedy}, or write {plain}://")


def _uses_tls(container: dict[str, Any], role: Role) -> bool:
    words = [*command_words(container)]
    words += [e.get("name", "") for e in container.get("environment", ())]
    marks = _SERVER_CERTIFICATE[role]
    return any(
        mark == part.split("=")[0] for word in words for part in word.split() for mark in marks
    )


def _check_server(
    spec: GraphSpec, built: BuiltComponent, document: Document, report: Report
) -> None:
    for role in (Role.ETCD, Role.NATS):
        if role not in built.component.roles:
            continue
        declared = _has_tls(spec, role)
        container = built.containers[serving_container(built.component.template, role)]
        uses_tls = _uses_tls(container, role)
        path = ("infrastructure", "security", role.value, "tls")
        configured = role is Role.NATS and any(
            word in ("-c", "--config", "-config") for word in container.get("command", ())
        )
        if declared and not uses_tls and not configured:
            flags = "--cert-file" if role is Role.ETCD else "--tlscert"
            report.warn(
                document,
                path,
                f"TLS is declared, but nothing in the task definition makes {role} use it",
                f"add {flags} and its key to the container's command, or remove tls here",
            )
        elif uses_tls and not declared:
            report.warn(
                built.definition.document,
                built.definition.at(CONTAINERS),
                f"{role} is configured to use TLS, but the graph does not declare it: clients "
                "would connect without TLS",
                f"declare infrastructure.security.{role}.tls",
            )
        if declared and role not in dns_names(spec):
            report.warn(
                document,
                path,
                f"{role}'s certificate must name the address of the server, which is a private IP "
                "that changes with each task",
                "create the certificate when the task starts, or declare "
                "infrastructure.serviceDiscovery",
            )


def _check_dependant(spec: GraphSpec, built: BuiltComponent, report: Report) -> None:
    security = spec.infrastructure.security
    names = secret_variables(security)
    if names and not built.component.template.get("executionRoleArn"):
        report.error(
            built.definition.document,
            built.definition.at("executionRoleArn"),
            f"{built.component.name} receives secrets, which ECS reads with the execution role",
            "add executionRoleArn (see `ecs-dynamo iam render`)",
        )
    injected = names.keys() | path_variables(security).keys()
    for index in built.dynamo:
        for number, entry in enumerate(built.containers[index].get("environment", ())):
            if entry.get("name") in injected:
                report.warn(
                    built.definition.document,
                    built.definition.at(CONTAINERS, index, "environment", number),
                    f"{entry['name']} is declared here and in infrastructure.security; the value "
                    "here is used",
                    "remove it here",
                )
