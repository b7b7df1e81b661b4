"""Check of every component against the table of ECS's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.ecs_rules import RULES, Content, violations
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.service import LaunchType

MAX_CONSTRAINTS: Final = 10
_VARIABLES: Final = ("environment", "secrets")


def check_rules(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Report what RegisterTaskDefinition or CreateService would reject."""
    for built in components:
        template = built.component.template
        fargate = built.component.launch_type is LaunchType.FARGATE
        needed = "FARGATE" in template.get("requiresCompatibilities", ())
        for violation in violations(RULES, Content(template, fargate=fargate or needed)):
            file, path = _place(spec, built, document, violation.path)
            report.error(file, path, violation.message, violation.remedy)
        _check_constraints(built, document, report)


def _check_constraints(built: BuiltComponent, document: Document, report: Report) -> None:
    """Check the limit of constraints, which ECS counts in task definition and service together.

    Source: API reference, CreateService.placementConstraints.
    """
    own = len(built.component.template.get("placementConstraints", ()))
    placed = len(built.component.settings.placement_constraints or ())
    if placed and own <= MAX_CONSTRAINTS < own + placed:
        report.error(
            document,
            (*built.path, "placement", "constraints"),
            f"{placed} constraints here and {own} in the task definition are together more than "
            f"the {MAX_CONSTRAINTS} that ECS accepts",
            "remove some",
        )


def _place(
    spec: GraphSpec, built: BuiltComponent, document: Document, path: FieldPath
) -> tuple[Document, FieldPath]:
    """Return the file and the path in it of the value at ``path`` of the component's template.

    A template is its file with the image, command and env of the graph file.
    """
    file = built.definition.document
    component = built.declared_in(spec)
    if component is not None and path[:1] == (CONTAINERS,) and len(path) > 2:
        container = built.component.template[CONTAINERS][path[1]]
        key, written = str(path[2]), _at(built.definition.content, path[:2])
        if key == "image" and container.get("image") != (written or {}).get("image"):
            return document, (*built.path, "image")
        if key in _VARIABLES and container.get(key):
            path = path if len(path) > 3 else (*path, 0)
            name = container[key][path[3]].get("name")
            if name in component.env:
                return document, (*built.path, "env", name)
            return file, built.definition.at(*_entry(built, path, name))
    return file, built.definition.at(*path)


def _entry(built: BuiltComponent, path: FieldPath, name: str | None) -> FieldPath:
    """Return the path of a variable in the file, whose lists differ from those of the template."""
    for key in dict.fromkeys((path[2], *_VARIABLES)):
        where = built.definition.at(*path[:2], key)
        entries = _at(built.definition.document.value, where)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict) and (entry.get("name") or None) == (name or None):
                return (*path[:2], key, index, *path[4:])
    return path


def _at(value: Any, path: FieldPath) -> Any:
    for step in path:
        if isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            return None
    return value
