"""Warnings about endpoints in a task definition that the graph replaces or removes.

ecs-dynamo maintains the endpoints of Dynamo's containers, so an address in a task definition does
not stay, and the user must know that.
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    PLACEHOLDER,
)
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.redaction import without_secrets
from ecs_dynamo.model.spec.graph import GraphSpec

_ROLES: Final = {ETCD_VARIABLE: Role.ETCD, NATS_VARIABLE: Role.NATS}


def check_endpoint_variables(
    spec: GraphSpec, components: list[BuiltComponent], report: Report
) -> None:
    """Warn of each address in a Dynamo container that is replaced or removed."""
    for built in components:
        if built.component.is_infrastructure:
            continue
        for index in built.dynamo:
            for number, entry in enumerate(built.containers[index].get("environment", ())):
                name, value = entry.get("name", ""), entry.get("value", "")
                message = _replacement(spec, name, value)
                if message is not None:
                    remedy = (
                        f"to use this one, write it into infrastructure.{_ROLES[name]}.endpoints; "
                        "else remove it here"
                    )
                    where = built.definition.at(CONTAINERS, index, "environment", number)
                    report.warn(built.definition.document, where, message, remedy)


def _replacement(spec: GraphSpec, name: str, value: str) -> str | None:
    """Return what replaces the variable's value, as a message; None if the value stays."""
    role, infrastructure = _ROLES.get(name), spec.infrastructure
    if role is None or not value or PLACEHOLDER in value:
        return None
    server = infrastructure.etcd if role is Role.ETCD else infrastructure.nats
    shown = f"{name} {without_secrets(value)}"
    if server is None and infrastructure.task_definition is None:
        return f"{shown} is removed, because the graph declares no NATS"
    declared = server.endpoints if server is not None else ()
    if value in (*declared, ",".join(declared)):
        return None
    return f"{shown} is replaced by the endpoints of the graph's {role}"
