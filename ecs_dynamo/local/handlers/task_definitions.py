"""Task definitions: immutable revisions of families."""

from __future__ import annotations

import re

from ecs_dynamo.local.handlers.registry import Context, operation
from ecs_dynamo.local.protocol import Json, client_error, failure, invalid, page
from ecs_dynamo.local.shapes import definition_shape
from ecs_dynamo.local.state import TaskDefinition, tags_of
from ecs_dynamo.local.volumes import check_volumes

# CPU units -> memory choices in MiB of Fargate tasks (ECS developer guide, task size).
FARGATE_MEMORY: dict[int, tuple[int, int, int]] = {
    256: (512, 2048, 512),
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16384, 1024),
    4096: (8192, 30720, 1024),
    8192: (16384, 61440, 4096),
    16384: (32768, 122880, 8192),
}


def _check_fargate(request: Json) -> None:
    if request.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode ‘awsvpc’.")
    try:
        cpu, memory = int(request.get("cpu", 0)), int(request.get("memory", 0))
    except ValueError:
        return  # "1 vCPU" and "2 GB" are valid too.
    least, most, step = FARGATE_MEMORY.get(cpu, (0, 0, 1))
    if not cpu or not memory:
        raise client_error("Fargate requires that 'cpu' and 'memory' be defined at the task level.")
    if not least <= memory <= most or (memory - least) % step:
        if (cpu, memory) == (256, 1024) or (cpu, memory) == (256, 2048):
            return
        raise client_error("No Fargate configuration exists for given values.")


def _check(request: Json) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", request["family"]):
        raise client_error("Invalid family: it takes letters, digits, hyphens and underscores.")
    containers = request["containerDefinitions"]
    if not containers:
        raise client_error("Container definitions should not be empty.")
    names = [c.get("name") for c in containers]
    if None in names or "" in names:
        raise client_error("Container.name should not be null or empty.")
    if len(set(names)) != len(names):
        raise client_error("Container.name should be unique.")
    if not any(c.get("essential", True) for c in containers):
        raise client_error("At least one container must be essential.")
    fargate = "FARGATE" in request.get("requiresCompatibilities", ())
    if fargate:
        _check_fargate(request)
    check_volumes(request)
    for container in containers:
        name = container["name"]
        if not container.get("image"):
            raise client_error("Container.image should not be null or empty.")
        size = container.get("memory") or container.get("memoryReservation")
        if not size and not request.get("memory"):
            raise client_error(
                f"Invalid setting for container '{name}'. At least one of 'memory' or "
                "'memoryReservation' must be specified."
            )
        if fargate and container.get("stopTimeout", 0) > 120:
            raise client_error("stopTimeout must be 120 or less for tasks that use Fargate.")
        for mapping in container.get("portMappings", ()):
            host = mapping.get("hostPort")
            if request.get("networkMode") in ("host", "awsvpc") and host not in (
                None,
                0,
                mapping.get("containerPort"),
            ):
                raise client_error(
                    "When networkMode=host|awsvpc, the host ports and container ports in port "
                    "mappings must match."
                )


@operation("RegisterTaskDefinition")
def register_task_definition(context: Context, request: Json) -> Json:
    _check(request)
    state, family = context.state, request["family"]
    known = state.definitions.setdefault(family, [])
    # Numbers of deleted revisions are not given again.
    number = state.revisions[family] = state.revisions.get(family, 0) + 1
    definition = TaskDefinition(
        arn=state.arn(f"task-definition/{family}:{number}"),
        family=family,
        revision=number,
        content={k: v for k, v in request.items() if k != "tags"},
        tags=tags_of(request),
        registered_at=state.now(),
    )
    for container in definition.content["containerDefinitions"]:
        # ECS answers with these even where they were left out.
        for key in ("environment", "mountPoints", "volumesFrom", "portMappings"):
            container.setdefault(key, [])
        container.setdefault("essential", True)
        container.setdefault("cpu", 0)
        for mapping in container["portMappings"]:
            mapping.setdefault("protocol", "tcp")
            if request.get("networkMode") in ("host", "awsvpc"):
                mapping["hostPort"] = mapping["containerPort"]
    known.append(definition)
    return {"taskDefinition": definition_shape(definition), "tags": definition.tags}


@operation("DescribeTaskDefinition")
def describe_task_definition(context: Context, request: Json) -> Json:
    definition = context.state.definition(request["taskDefinition"])
    answer: Json = {"taskDefinition": definition_shape(definition)}
    if "TAGS" in request.get("include", ()):
        answer["tags"] = definition.tags
    return answer


@operation("ListTaskDefinitions")
def list_task_definitions(context: Context, request: Json) -> Json:
    prefix, status = request.get("familyPrefix"), request.get("status", "ACTIVE")
    found = [
        d
        for family in sorted(context.state.definitions)
        for d in context.state.definitions[family]
        if d.status == status and prefix in (None, family)
    ]
    if request.get("sort") == "DESC":
        found.reverse()
    items, token = page([d.arn for d in found], request)
    return {"taskDefinitionArns": items, "nextToken": token}


@operation("ListTaskDefinitionFamilies")
def list_families(context: Context, request: Json) -> Json:
    status = request.get("status", "ACTIVE")
    prefix = request.get("familyPrefix", "")
    names = [
        family
        for family, known in sorted(context.state.definitions.items())
        if family.startswith(prefix)
        and (status == "ALL" or (status == "ACTIVE") == any(d.status == "ACTIVE" for d in known))
    ]
    items, token = page(names, request)
    return {"families": items, "nextToken": token}


@operation("DeregisterTaskDefinition")
def deregister_task_definition(context: Context, request: Json) -> Json:
    if ":" not in request["taskDefinition"].rsplit("/", 1)[-1]:
        raise client_error("Revision should be specified.")
    definition = context.state.definition(request["taskDefinition"])
    if definition.status != "ACTIVE":
        raise client_error(
            "The specified task definition is inactive. You can only deregister task definition "
            "revisions that are in an active state."
        )
    definition.status = "INACTIVE"
    definition.deregistered_at = context.state.now()
    return {"taskDefinition": definition_shape(definition)}


@operation("DeleteTaskDefinitions")
def delete_task_definitions(context: Context, request: Json) -> Json:
    names = request["taskDefinitions"]
    if len(names) > 10:
        raise invalid("taskDefinitions can have at most 10 items.")
    deleted, failures = [], []
    for name in names:
        definition = context.state.definition(name)
        if definition.status != "INACTIVE":
            failures.append(
                failure(name, "INVALID", "The specified task definition is still in ACTIVE status.")
            )
            continue
        definition.status = "DELETE_IN_PROGRESS"
        deleted.append(definition_shape(definition))
    context.state.forget_old()
    return {"taskDefinitions": deleted, "failures": failures}
