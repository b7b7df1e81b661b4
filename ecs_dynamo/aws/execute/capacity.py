"""Changing Auto Scaling groups and container instances."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.capacity import TASKS_PER_CALL, Json, list_daemon_groups
from ecs_dynamo.aws.observe.convert import tags_of
from ecs_dynamo.aws.pages import read_all
from ecs_dynamo.aws.resources.tags import set_tags
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_GRAPH
from ecs_dynamo.model.plan import SetDesiredCapacity, SetInstancesState, TerminateInstance

_log = structlog.get_logger(__name__)

STATES_PER_CALL = 10


async def _group(aws: Aws, name: str, operation: str) -> Json:
    answer = await aws.call(
        "autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=[name]
    )
    for raw in answer.get("AutoScalingGroups", []):
        found: Json = raw
        return found
    raise AwsError(operation, "GroupNotFound", f"there is no Auto Scaling group {name}")


async def set_desired_capacity(aws: Aws, action: SetDesiredCapacity) -> bool:
    """Raise the desired size; who has raised it further meanwhile is not overruled."""
    group = await _group(aws, action.group, "SetDesiredCapacity")
    if group["DesiredCapacity"] >= action.desired:
        return False
    await aws.call(
        "autoscaling",
        "SetDesiredCapacity",
        AutoScalingGroupName=action.group,
        DesiredCapacity=action.desired,
        HonorCooldown=False,
    )
    return True


async def _instances(aws: Aws, cluster: str, arns: Sequence[str]) -> list[Json]:
    answer = await aws.call(
        "ecs",
        "DescribeContainerInstances",
        cluster=cluster,
        containerInstances=list(arns),
        include=["TAGS"],
    )
    found: list[Json] = answer.get("containerInstances", [])
    return found


async def set_instances_state(aws: Aws, action: SetInstancesState, graph: str) -> bool:
    """Drain container instances, or return them to ACTIVE; whether any changed.

    Claimed instances are tagged before they drain, so that none drains without its tag. Instances
    that no longer exist are logged and left out.
    """
    changed = False
    for start in range(0, len(action.instances), STATES_PER_CALL):
        batch = action.instances[start : start + STATES_PER_CALL]
        if action.claim and action.status == "DRAINING":
            for raw in await _instances(aws, action.cluster, batch):
                if tags_of(raw.get("tags", [])).get(TAG_GRAPH) != graph:
                    await set_tags(aws, raw["containerInstanceArn"], {TAG_GRAPH: graph})
        answer = await aws.call(
            "ecs",
            "UpdateContainerInstancesState",
            cluster=action.cluster,
            containerInstances=list(batch),
            status=action.status,
        )
        failures = answer.get("failures", [])
        for failure in failures:
            _log.info(
                "container instance not updated",
                arn=failure.get("arn"),
                status=action.status,
                reason=failure.get("reason"),
            )
        changed = changed or len(failures) < len(batch)
    return changed


async def terminate_instance(aws: Aws, action: TerminateInstance) -> bool:
    """Terminate a drained instance, if it is still drained, empty, and above the group's minimum.

    What has happened meanwhile is looked at again: a task that runs there is worth more than the
    instance's price until the next pass.
    """
    group = await _group(aws, action.group, "TerminateInstanceInAutoScalingGroup")
    states = {i["InstanceId"]: i.get("LifecycleState") for i in group.get("Instances", ())}
    if states.get(action.ec2_instance_id) != "InService":
        return False  # It goes already, or is gone.
    if group["DesiredCapacity"] <= max(action.floor, group["MinSize"]):
        return False
    for raw in await _instances(aws, action.cluster, [action.instance]):
        if raw.get("status") != "DRAINING":
            return False
    arns = await read_all(
        *(aws, "ecs", "ListTasks", "taskArns"),
        cluster=action.cluster,
        containerInstance=action.instance,
        desiredStatus="RUNNING",
    )
    daemons = await list_daemon_groups(aws, action.cluster) if arns else frozenset()
    for start in range(0, len(arns), TASKS_PER_CALL):
        batch = arns[start : start + TASKS_PER_CALL]
        tasks = await aws.call("ecs", "DescribeTasks", cluster=action.cluster, tasks=batch)
        if any(t.get("group") not in daemons for t in tasks["tasks"]):
            return False
    await aws.call(
        "autoscaling",
        "TerminateInstanceInAutoScalingGroup",
        InstanceId=action.ec2_instance_id,
        ShouldDecrementDesiredCapacity=True,
    )
    return True
