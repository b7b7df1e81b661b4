"""Warnings about a user's own values of the variables that connect frontends and workers.

They are respected. Generations of workers need them, so that a graph which sets one has none.
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import Document, FieldPath
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.namespaces import OwnSetting, own_settings
from ecs_dynamo.model.dynamo.variables import NAMESPACE_VARIABLE
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.spec.graph import GraphSpec

_EFFECT: Final = (
    "workers have no generations, and a change to their model card leaves new workers without "
    "requests while a single old one is left"
)


def check_namespace_variables(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Warn of each variable that leaves the graph's workers without generations."""
    namespace = spec.namespace or spec.name
    for built in components:
        if built.component.is_infrastructure:
            continue
        for setting in own_settings(built.component, namespace):
            if setting.variable == NAMESPACE_VARIABLE:
                message = f"{setting.text}: a frontend with another one does not find its workers"
                remedy = "remove it, or set namespace in the graph file"
            elif built.component.is_worker or built.component.is_frontend:
                message, remedy = setting.text, "remove it: ecs-dynamo sets it"
            else:
                continue
            where, path = _place(spec, built, setting, document)
            report.warn(where, path, f"{message}; {_EFFECT}", remedy)


def _place(
    spec: GraphSpec, built: BuiltComponent, setting: OwnSetting, document: Document
) -> tuple[Document, FieldPath]:
    """Return the document and path of a setting: `env` in the graph file, or a container."""
    declared = built.declared_in(spec)
    if declared is not None and setting.variable in declared.env:
        return document, (*built.path, "env", setting.variable)
    definition = built.definition
    containers = (i for i, c in enumerate(built.containers) if c.get("name") == setting.container)
    number = next(containers, 0)
    entries = built.containers[number]
    for key in ("environment", "secrets"):
        for position, entry in enumerate(entries.get(key) or ()):
            if entry.get("name") == setting.variable:
                return definition.document, definition.at(CONTAINERS, number, key, position)
    return definition.document, definition.at(CONTAINERS, number)
