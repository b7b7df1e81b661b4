"""The containers of a component that run Dynamo, and their values from the graph file.

``image``, ``command`` and ``env`` of a component apply to these containers only. Ambiguous values
are refused.
"""

from __future__ import annotations

from typing import Any

from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.reading.variables import (
    SecretReference,
    VariableError,
    Variables,
)
from ecs_dynamo.config.task_definitions.prepare import (
    expand_word,
    set_environment,
)
from ecs_dynamo.model.dynamo.containers import (
    DynamoContainers,
    find_dynamo_containers,
    is_log_router,
)
from ecs_dynamo.model.ecs.task_definition import CONTAINERS, container_names
from ecs_dynamo.model.spec.component import ComponentSpec


def resolve_containers(
    component: ComponentSpec,
    template: dict[str, Any],
    document: Document,
    place: FieldPath,
    report: Report,
) -> DynamoContainers:
    """Return the declared containers, or else the inferred ones; problems are reported."""
    names = container_names(template)
    if component.container:
        routers = {c["name"] for c in template[CONTAINERS] if is_log_router(c)}
        for name in component.container:
            if name not in names:
                message = f"the task definition of {component.name} has no container {name!r}"
                remedy = f"write one of {', '.join(names)}"
                report.error(document, (*place, "container"), message, remedy)
            elif name in routers:
                message = f"container {name!r} has firelensConfiguration: it routes logs"
                remedy = "name the containers that run Dynamo"
                report.error(document, (*place, "container"), message, remedy)
        declared = tuple(name for name in names if name in component.container)
        return DynamoContainers(declared or names[:1], "named by container in the graph file")
    inferred = find_dynamo_containers(template)
    if not inferred.names:
        message = f"no container of {component.name} can run Dynamo: all of them route logs"
        report.error(document, (*place, "taskDefinition"), message, "add Dynamo's container")
        return DynamoContainers(names[:1], inferred.why)
    if inferred.doubtful:
        report.error(
            document,
            (*place, "taskDefinition"),
            f"{component.name}: which of the containers {', '.join(inferred.names)} run Dynamo is "
            f"not clear ({inferred.why})",
            f"name them: container: {inferred.names[0]}, or "
            f"container: [{', '.join(inferred.names)}], beside taskDefinition",
        )
    return inferred


def override_containers(
    component: ComponentSpec,
    template: dict[str, Any],
    dynamo: DynamoContainers,
    variables: Variables,
    document: Document,
    place: FieldPath,
    report: Report,
) -> None:
    """Put the component's image, command and env into its Dynamo containers, in place."""
    containers = [c for c in template[CONTAINERS] if c["name"] in dynamo.names]
    listed = ", ".join(c["name"] for c in containers)
    if component.image is not None:
        if len({c["image"] for c in containers}) > 1 and not dynamo.doubtful:
            message = f"image would replace the different images of {listed}"
            remedy = "write the images into the task definition, or name one with container"
            report.error(document, (*place, "image"), message, remedy)
        for container in containers:
            container["image"] = component.image
    if component.command is not None:
        if len(containers) > 1 and not dynamo.doubtful:
            message = f"command is for one container, but {listed} run Dynamo"
            remedy = "write the commands into the task definition, or name one with container"
            report.error(document, (*place, "command"), message, remedy)
        for container in containers:
            container["command"] = list(component.command)
            container["command"] = [
                _word(text, variables, container, document, (*place, "command", index), report)
                for index, text in enumerate(component.command)
            ]
    for name, text in component.env.items():
        try:
            value = variables.expand(text)
            if isinstance(value, SecretReference):
                source = value.value_from(variables.region, variables.account)
                value = SecretReference(value.kind, source)
            for container in containers:
                set_environment(container, name, value)
        except VariableError as error:
            report.error(document, (*place, "env", name), str(error), error.remedy)


def _word(
    text: str,
    variables: Variables,
    container: dict[str, Any],
    document: Document,
    where: FieldPath,
    report: Report,
) -> str:
    try:
        declared = variables.declared_only()
        return expand_word(text, declared, container, document, where, report)
    except VariableError as error:
        report.error(document, where, str(error), error.remedy)
        return text
