"""The table of ECS's rules, applied to every component, and where in which file each is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.config.build.components import Built
from ecs_dynamo.config.ecs_rules import RULES, Content, violations
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import CONTAINERS
from ecs_dynamo.model.spec.graph import (
    GraphSpec,
    LaunchType,
)

MAX_CONSTRAINTS: Final = 10
_VARIABLES: Final = ("environment", "secrets")


def check_rules(spec: GraphSpec, built: list[Built], document: Document, report: Report) -> None:
    """Report what RegisterTaskDefinition or CreateService would reject."""
    for one in built:
        template = one.component.template
        fargate = one.component.launch_type is LaunchType.FARGATE
        needed = "FARGATE" in template.get("requiresCompatibilities", ())
        for found in violations(RULES, Content(template, fargate=fargate or needed)):
            file, path = _place(spec, one, document, found.path)
            report.error(file, path, found.message, found.remedy)
        _check_constraints(one, document, report)


def _check_constraints(one: Built, document: Document, report: Report) -> None:
    """The limit counts those of the task definition and of the service together (API reference,
    CreateService.placementConstraints)."""
    own = len(one.component.template.get("placementConstraints", ()))
    placed = len(one.component.placement.constraints)
    if placed and own <= MAX_CONSTRAINTS < own + placed:
        report.error(
            document,
            (*one.path, "placement", "constraints"),
            f"{placed} constraints here and {own} in the task definition are more than the "
            f"{MAX_CONSTRAINTS} that ECS takes together",
            "remove some",
        )


def _place(
    spec: GraphSpec, one: Built, document: Document, path: FieldPath
) -> tuple[Document, FieldPath]:
    """The file and the path there of what is at ``path`` of the component's template.

    A template is its file with the graph file's image, command and env put into it.
    """
    file = one.definition.document
    if one.path[0] == "components" and path[:1] == (CONTAINERS,) and len(path) > 2:
        component = spec.components[int(one.path[1])]
        container = one.component.template[CONTAINERS][path[1]]
        key, written = str(path[2]), _at(one.definition.content, path[:2])
        if key == "image" and container.get("image") != (written or {}).get("image"):
            return document, (*one.path, "image")
        if key in _VARIABLES and container.get(key):
            path = path if len(path) > 3 else (*path, 0)
            name = container[key][path[3]].get("name")
            if name in component.env:
                return document, (*one.path, "env", name)
            return file, one.definition.at(*_entry(one, path, name))
    return file, one.definition.at(*path)


def _entry(one: Built, path: FieldPath, name: str | None) -> FieldPath:
    """Where the file itself has the variable: the template's lists are sorted out anew."""
    for key in dict.fromkeys((path[2], *_VARIABLES)):
        where = one.definition.at(*path[:2], key)
        entries = _at(one.definition.document.value, where)
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
