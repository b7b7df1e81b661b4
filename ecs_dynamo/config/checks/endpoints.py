"""Endpoints that a task definition names by itself, and that the graph replaces or removes.

Keeping the endpoints right is ecs-dynamo's own work, so an address in a Dynamo container does not
stay; but the user must be told of it.
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import CONTAINERS
from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    PLACEHOLDER,
)
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.redaction import without_secrets
from ecs_dynamo.model.spec.graph import GraphSpec

_ROLES: Final = {ETCD_VARIABLE: Role.ETCD, NATS_VARIABLE: Role.NATS}


def check_endpoint_variables(
    spec: GraphSpec, components: list[BuiltComponent], report: Report
) -> None:
    """Warn of each address in a Dynamo container that will not be there when it runs."""
    for built in components:
        if built.component.is_infrastructure:
            continue
        for index in built.dynamo:
            for number, entry in enumerate(built.containers[index].get("environment", ())):
                found = _what_becomes_of(spec, entry.get("name", ""), entry.get("value", ""))
                if found is not None:
                    message, remedy = found
                    where = built.definition.at(CONTAINERS, index, "environment", number)
                    report.warn(built.definition.document, where, message, remedy)


def _what_becomes_of(spec: GraphSpec, name: str, value: str) -> tuple[str, str] | None:
    role, infra = _ROLES.get(name), spec.infrastructure
    if role is None or not value or PLACEHOLDER in value:
        return None
    part = infra.etcd if role is Role.ETCD else infra.nats
    shown = f"{name} {without_secrets(value)}"
    remedy = f"to use this one, write it into infrastructure.{role}.endpoints; else remove it here"
    if part is None and infra.task_definition is None:
        return f"{shown} is removed, as the graph declares no NATS", remedy
    declared = part.endpoints if part is not None else ()
    if value in (*declared, ",".join(declared)):
        return None
    return f"{shown} is replaced by the endpoints of the graph's {role}", remedy
