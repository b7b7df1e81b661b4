"""The rights that capacity needs: only where the graph declares it, only on what it names. Pure.

The Service Authorization References of EC2 Auto Scaling and EC2: describes know no resource;
SetDesiredCapacity and TerminateInstanceInAutoScalingGroup are bound to a group by its name, as the
identifier within a group's ARN is not known before it exists.
"""

from __future__ import annotations

from ecs_dynamo.model.graph import TAG_GRAPH, Graph
from ecs_dynamo.planning.iam_base import Arns, Json, statement


def capacity_reads(graph: Graph, arns: Arns) -> list[Json]:
    """Looking at the graph's capacity providers and Auto Scaling groups; often nothing."""
    made: list[Json] = []
    providers = {p.name for c in graph.components for p in c.capacity_providers}
    if providers:
        named = [f"{arns.ecs}:capacity-provider/{name}" for name in providers]
        made.append(statement("ReadCapacityProviders", ["ecs:DescribeCapacityProviders"], named))
    if graph.capacity.auto_scaling_groups:
        made.append(
            statement(
                "ReadAutoScalingGroups",
                [
                    "autoscaling:DescribeAutoScalingGroups",
                    "autoscaling:DescribeWarmPool",
                    "ec2:DescribeInstanceTypes",
                    "ec2:DescribeLaunchTemplateVersions",
                ],
                ["*"],
            )
        )
    return made


def capacity_statements(graph: Graph, arns: Arns) -> list[Json]:
    """Changing the size of the graph's Auto Scaling groups; often nothing."""
    groups = graph.capacity.auto_scaling_groups
    if not groups:
        return []
    instances = [arns.within("container-instance", g.cluster or "") for g in groups]
    return [
        statement(
            "SizeAutoScalingGroups",
            ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            [
                arns.of("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{g.name}")
                for g in groups
            ],
        ),
        statement("DrainEmptyInstances", ["ecs:UpdateContainerInstancesState"], instances),
        statement(
            "TagDrainedInstances",
            ["ecs:TagResource"],
            instances,
            StringEquals={f"aws:RequestTag/{TAG_GRAPH}": graph.name},
        ),
    ]
