"""Operations on task definitions."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.registration import admit
from ecs_dynamo.local.state.descriptions import definition_description
from ecs_dynamo.local.state.entities import TaskDefinition
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.wire.protocol import Json, client_error, failure, invalid, page


@operation("RegisterTaskDefinition")
def register_task_definition(context: Context, request: Json) -> Json:
    content = admit(request)
    state, family = context.state, content["family"]
    revisions = state.definitions.setdefault(family, [])
    # Numbers of deleted revisions are not reused.
    number = state.revisions[family] = state.revisions.get(family, 0) + 1
    definition = TaskDefinition(
        arn=state.arn(f"task-definition/{family}:{number}"),
        family=family,
        revision=number,
        content={k: v for k, v in content.items() if k != "tags"},
        tags=tags_of(request),
        registered_at=state.now(),
    )
    revisions.append(definition)
    return {"taskDefinition": definition_description(definition), "tags": definition.tags}


@operation("DescribeTaskDefinition")
def describe_task_definition(context: Context, request: Json) -> Json:
    definition = context.state.definition(request["taskDefinition"])
    answer: Json = {"taskDefinition": definition_description(definition)}
    if "TAGS" in request.get("include", ()):
        answer["tags"] = definition.tags
    return answer


@operation("ListTaskDefinitions")
def list_task_definitions(context: Context, request: Json) -> Json:
    prefix, status = request.get("familyPrefix"), request.get("status", "ACTIVE")
    definitions = [
        d
        for family in sorted(context.state.definitions)
        for d in context.state.definitions[family]
        if d.status == status and prefix in (None, family)
    ]
    if request.get("sort") == "DESC":
        definitions.reverse()
    items, token = page([d.arn for d in definitions], request)
    return {"taskDefinitionArns": items, "nextToken": token}


@operation("ListTaskDefinitionFamilies")
def list_task_definition_families(context: Context, request: Json) -> Json:
    status = request.get("status", "ACTIVE")
    prefix = request.get("familyPrefix", "")
    names = [
        family
        for family, revisions in sorted(context.state.definitions.items())
        if family.startswith(prefix)
        and (
            status == "ALL" or (status == "ACTIVE") == any(d.status == "ACTIVE" for d in revisions)
        )
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
    return {"taskDefinition": definition_description(definition)}


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
        deleted.append(definition_description(definition))
    context.state.remove_expired()
    return {"taskDefinitions": deleted, "failures": failures}
