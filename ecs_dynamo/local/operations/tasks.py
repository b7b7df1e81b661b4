"""Operations on tasks."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.operations.service_checks import check_network, check_volumes_at_launch
from ecs_dynamo.local.placement.selection import placement_rules
from ecs_dynamo.local.state.descriptions import task_description
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.tasks.placing import PlacementError
from ecs_dynamo.local.wire.protocol import EcsError, Json, describe_each, failure, invalid, page


@operation("RunTask")
def run_task(context: Context, request: Json) -> Json:
    state = context.state
    cluster = state.cluster(request.get("cluster"))
    definition = state.definition(request["taskDefinition"])
    launch_type = request.get("launchType", "EC2")
    check_network(definition, launch_type, request.get("networkConfiguration"))
    check_volumes_at_launch(definition, request)
    count = request.get("count", 1)
    if not 1 <= count <= 10:
        raise invalid("count must be between 1 and 10")
    token = request.get("clientToken")
    if token in state.run_tokens:
        started = [state.tasks[i] for i in state.run_tokens[token] if i in state.tasks]
        return {"tasks": [task_description(state, t, ["TAGS"]) for t in started], "failures": []}
    tasks, failures = [], []
    for _ in range(count):
        try:
            tasks.append(
                context.tasks.create(
                    cluster,
                    definition,
                    launch_type=launch_type,
                    group=request.get("group", f"family:{definition.family}"),
                    network=request.get("networkConfiguration"),
                    started_by=request.get("startedBy"),
                    overrides=request.get("overrides"),
                    execute_command=request.get("enableExecuteCommand", False),
                    rules=placement_rules(
                        request.get("placementConstraints", ()),
                        request.get("placementStrategy", ()),
                    ),
                    tags=tags_of(request),
                )
            )
        except PlacementError as error:
            if str(error).startswith("no container instances"):
                raise invalid("No Container Instances were found in your cluster.") from None
            arn = next((i.arn for i in state.instances.values() if i.cluster == cluster.name), "")
            failures.append(failure(arn, str(error)))
    if token is not None:
        state.run_tokens[token] = [t.id for t in tasks]
    return {"tasks": [task_description(state, t, ["TAGS"]) for t in tasks], "failures": failures}


@operation("StopTask")
def stop_task(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    task = context.state.task(cluster, request["task"])
    if task is None:
        raise invalid("The referenced task was not found.")
    context.tasks.stop(task, "UserInitiated", request.get("reason", "Task stopped by user"))
    return {"task": task_description(context.state, task, ["TAGS"])}


@operation("DescribeTasks")
def describe_tasks(context: Context, request: Json) -> Json:
    names = request["tasks"]
    if not names:
        raise invalid("Tasks cannot be empty.")
    if len(names) > 100:
        raise invalid("tasks can have at most 100 items.")
    cluster = context.state.cluster(request.get("cluster"))
    descriptions, failures = describe_each(
        names,
        lambda name: context.state.task(cluster, name),
        lambda task: task_description(context.state, task, request.get("include", [])),
        lambda name: context.state.arn(f"task/{cluster.name}/{name.rsplit('/', 1)[-1]}"),
    )
    return {"tasks": descriptions, "failures": failures}


@operation("ListTasks")
def list_tasks(context: Context, request: Json) -> Json:
    state = context.state
    cluster = state.cluster(request.get("cluster"))
    desired_status = request.get("desiredStatus", "RUNNING")
    service = request.get("serviceName")
    if service is not None:
        service = service.rsplit("/", 1)[-1]
        if state.service(cluster, service) is None:
            raise EcsError("ServiceNotFoundException", "Service not found.")
    instance = request.get("containerInstance", "").rsplit("/", 1)[-1]
    tasks = [
        t
        for t in state.tasks.values()
        if t.cluster == cluster.name
        and t.desired_status == desired_status
        and service in (None, t.service)
        and request.get("family") in (None, t.definition.family)
        and request.get("startedBy") in (None, t.started_by)
        and request.get("launchType") in (None, t.launch_type)
        and (not instance or (t.instance is not None and t.instance.arn.endswith(instance)))
    ]
    items, token = page(sorted(t.arn for t in tasks), request)
    return {"taskArns": items, "nextToken": token}
