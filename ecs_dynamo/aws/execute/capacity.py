"""Changes of Auto Scaling groups and container instances."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.capacity import Json, list_daemon_groups
from ecs_dynamo.aws.observe.convert import tags_of
from ecs_dynamo.aws.observe.tasks import describe_tasks, list_tasks
from ecs_dynamo.aws.pages import batches
from ecs_dynamo.aws.resources.tags import set_tags
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_GRAPH
from ecs_dynamo.model.plan import SetDesiredCapacity, SetInstancesState, TerminateInstance

_log = structlog.get_logger(__name__)

INSTANCES_PER_CALL = 10
"""Container instances in one UpdateContainerInstancesState (ECS API reference)."""


async def _group(aws: Aws, name: str, operation: str) -> Json:
    answer = await aws.call(
        "autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=[name]
    )
    groups: list[Json] = answer.get("AutoScalingGroups", [])
    if not groups:
        raise AwsError(operation, "GroupNotFound", f"there is no Auto Scaling group {name}")
    return groups[0]


async def set_desired_capacity(aws: Aws, action: SetDesiredCapacity) -> bool:
    """Raise the desired size, unless it has been raised further meanwhile; whether it changed.

    Raises `AwsError`.
    """
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
    instances: list[Json] = answer.get("containerInstances", [])
    return instances


async def set_instances_state(aws: Aws, action: SetInstancesState, graph: str) -> bool:
    """Drain container instances, or return them to ACTIVE; whether any changed.

    Claimed instances are tagged before they drain, so that none drains without its tag. Instances
    that no longer exist are logged and left out. Raises `AwsError`.
    """
    changed = False
    for batch in batches(action.instances, INSTANCES_PER_CALL):
        if action.claim and action.status == "DRAINING":
            for raw in await _instances(aws, action.cluster, batch):
                if tags_of(raw.get("tags", [])).get(TAG_GRAPH) != graph:
                    await set_tags(aws, raw["containerInstanceArn"], {TAG_GRAPH: graph})
        answer = await aws.call(
            "ecs",
            "UpdateContainerInstancesState",
            cluster=action.cluster,
            containerInstances=batch,
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
    """Terminate an instance that is still drained and empty; whether it was terminated.

    The group's desired size must be above its minimum. The state is read again because keeping an
    instance until the next pass costs less than stopping a task. Raises `AwsError`.
    """
    group = await _group(aws, action.group, "TerminateInstanceInAutoScalingGroup")
    states = {i["InstanceId"]: i.get("LifecycleState") for i in group.get("Instances", ())}
    if states.get(action.ec2_instance_id) != "InService":
        return False  # It is being terminated, or is gone.
    if group["DesiredCapacity"] <= max(action.floor, group["MinSize"]):
        return False
    for raw in await _instances(aws, action.cluster, [action.instance]):
        if raw.get("status") != "DRAINING":
            return False
    arns = await list_tasks(aws, action.cluster, "RUNNING", containerInstance=action.instance)
    daemons = await list_daemon_groups(aws, action.cluster) if arns else frozenset()
    tasks = await describe_tasks(aws, action.cluster, arns)
    if any(task.get("group") not in daemons for task in tasks):
        return False
    await aws.call(
        "autoscaling",
        "TerminateInstanceInAutoScalingGroup",
        InstanceId=action.ec2_instance_id,
        ShouldDecrementDesiredCapacity=True,
    )
    return True
