"""The Dynamo namespace of a worker, from its environment, and settings that rule generations out.

Workers register in ``{DYN_NAMESPACE}-{DYN_NAMESPACE_WORKER_SUFFIX}``. Frontends serve exactly
``DYN_NAMESPACE``, or every namespace that starts with ``DYN_NAMESPACE_PREFIX`` (Dynamo 1.6.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import NAMESPACE_VARIABLE, PREFIX_VARIABLES, SUFFIX_VARIABLE
from ecs_dynamo.model.ecs.task_definition import (
    Container,
    containers_of,
    environment_value,
    variable_value,
)
from ecs_dynamo.model.generations import namespace_of
from ecs_dynamo.model.graph import Component, Graph, JsonObject

CHOSEN_VARIABLES = (SUFFIX_VARIABLE, *PREFIX_VARIABLES)
"""Variables by which generations reach workers and frontends, unless the user sets one."""


def namespace_in(graph: Graph, component: Component, content: JsonObject) -> str:
    """Return the namespace in which workers with a task definition's ``content`` register.

    Where it does not say, it is that of the component.
    """
    names = dynamo_containers(component).names
    base = environment_value(content, NAMESPACE_VARIABLE, names) or graph.namespace
    suffix = environment_value(content, SUFFIX_VARIABLE, names) or component.generation
    return namespace_of(base, suffix)


def sets_variable(container: Container, name: str) -> bool:
    """Return whether a container's definition sets the variable, in plain text or as a secret."""
    entries = (*(container.get("environment") or ()), *(container.get("secrets") or ()))
    return any(entry.get("name") == name for entry in entries)


@dataclass(frozen=True, slots=True)
class OwnSetting:
    """A setting of the user's by which the graph's workers have no generations.

    ``container`` is the name of the container that has it. ``text`` is a sentence without its full
    stop.
    """

    container: str
    variable: str
    text: str


def own_settings(component: Component, namespace: str) -> Iterator[OwnSetting]:
    """Yield the settings of a worker or frontend by which there are no generations.

    ``namespace`` is that of the graph. The values are respected, so that ecs-dynamo sets none.
    """
    names = dynamo_containers(component).names
    for container in containers_of(component):
        name = str(container.get("name", ""))
        if name not in names:
            continue
        for variable in CHOSEN_VARIABLES:
            if sets_variable(container, variable):
                yield OwnSetting(name, variable, f"{component.name} sets {variable} itself")
        own = variable_value(container, NAMESPACE_VARIABLE)
        if own not in (None, namespace):
            text = f"{component.name} sets {NAMESPACE_VARIABLE} to {own}, not {namespace}"
            yield OwnSetting(name, NAMESPACE_VARIABLE, text)
