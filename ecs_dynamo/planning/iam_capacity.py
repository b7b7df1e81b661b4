"""The rights that capacity needs: only where the graph declares it, only on what it names. Pure.

The Service Authorization References of EC2 Auto Scaling and EC2: describes know no resource;
SetDesiredCapacity and TerminateInstanceInAutoScalingGroup are bound to a group by its name, as the
identifier within a group's ARN is not known before it exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ecs_dynamo.model.graph import TAG_GRAPH, Graph

Json = dict[str, Any]


def _statement(sid: str, actions: Sequence[str], resources: Iterable[str], **more: Json) -> Json:
    made: Json = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(set(resources)),
    }
    return {**made, **({"Condition": more} if more else {})}


def capacity_statements(graph: Graph, partition: str, region: str, account: str) -> list[Json]:
    """Statements for the graph's capacity providers and Auto Scaling groups; often none."""
    ecs = f"arn:{partition}:ecs:{region}:{account}"
    made: list[Json] = []
    providers = {p.name for c in graph.components for p in c.capacity_providers}
    if providers:
        made.append(
            _statement(
                "ReadCapacityProviders",
                ["ecs:DescribeCapacityProviders"],
                [f"{ecs}:capacity-provider/{name}" for name in providers],
            )
        )
    groups = graph.capacity.auto_scaling_groups
    if not groups:
        return made
    scaling = f"arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup"
    instances = [
        f"{ecs}:container-instance/{(g.cluster or '').rsplit('/', 1)[-1]}/*" for g in groups
    ]
    return [
        *made,
        _statement(
            "ReadAutoScalingGroups",
            [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeWarmPool",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
            ],
            ["*"],
        ),
        _statement(
            "SizeAutoScalingGroups",
            ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            [f"{scaling}:*:autoScalingGroupName/{g.name}" for g in groups],
        ),
        _statement("DrainEmptyInstances", ["ecs:UpdateContainerInstancesState"], instances),
        _statement(
            "TagDrainedInstances",
            ["ecs:TagResource"],
            instances,
            StringEquals={f"aws:RequestTag/{TAG_GRAPH}": graph.name},
        ),
    ]
