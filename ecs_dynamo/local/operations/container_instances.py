"""Operations on container instances."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.descriptions import instance_description
from ecs_dynamo.local.state.entities import Instance
from ecs_dynamo.local.tasks.placing import remaining_resources
from ecs_dynamo.local.wire.protocol import Json, describe_each, failure, invalid, page


def _description(context: Context, instance: Instance, include: list[str]) -> Json:
    remaining = remaining_resources(context.state, instance)
    return instance_description(context.state, instance, remaining, include)


@operation("ListContainerInstances")
def list_container_instances(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    status = request.get("status")
    arns = sorted(
        i.arn
        for i in context.state.instances.values()
        if i.cluster == cluster.name and status in (None, i.status)
    )
    items, token = page(arns, request)
    return {"containerInstanceArns": items, "nextToken": token}


@operation("DescribeContainerInstances")
def describe_container_instances(context: Context, request: Json) -> Json:
    names = request["containerInstances"]
    if not names:
        raise invalid("Container instances cannot be empty.")
    if len(names) > 100:
        raise invalid("containerInstances can have at most 100 items.")
    cluster = context.state.cluster(request.get("cluster"))
    descriptions, failures = describe_each(
        names,
        lambda name: context.state.instance(cluster, name),
        lambda instance: _description(context, instance, request.get("include", [])),
        lambda name: context.state.arn(
            f"container-instance/{cluster.name}/{name.rsplit('/', 1)[-1]}"
        ),
    )
    return {"containerInstances": descriptions, "failures": failures}


@operation("UpdateContainerInstancesState")
def update_container_instances_state(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    if len(request["containerInstances"]) > 10:
        raise invalid("containerInstances can have at most 10 items.")
    descriptions, failures = [], []
    for name in request["containerInstances"]:
        instance = context.state.instance(cluster, name)
        if instance is None:
            failures.append(failure(name))
            continue
        instance.status = request["status"]
        descriptions.append(_description(context, instance, []))
    context.scheduler.wake()
    return {"containerInstances": descriptions, "failures": failures}


@operation("DeregisterContainerInstance")
def deregister_container_instance(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    instance = context.state.instance(cluster, request["containerInstance"])
    if instance is None:
        raise invalid("Referenced container instance was not found.")
    tasks = context.state.tasks_on_instance(instance)
    if tasks and not request.get("force"):
        raise invalid("Found running tasks on the instance.")
    for task in tasks:
        context.tasks.stop(task, "TerminationNotice", "Container instance was deregistered")
    del context.state.instances[instance.arn.rsplit("/", 1)[-1]]
    instance.status = "INACTIVE"
    context.scheduler.wake()
    return {"containerInstance": _description(context, instance, [])}
