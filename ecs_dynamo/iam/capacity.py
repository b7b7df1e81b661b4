"""Permissions for capacity: only if the graph declares it, and only on what it names. Pure.

They follow the Service Authorization References of EC2 Auto Scaling and EC2. Describe actions have
no resource types. SetDesiredCapacity and TerminateInstanceInAutoScalingGroup are bound to a group
by its name, because the identifier within a group's ARN is not known before the group exists.
"""

from __future__ import annotations

from ecs_dynamo.iam.statements import (
    Json,
    Scope,
    statement,
)


def capacity_reads(scope: Scope) -> list[Json]:
    """Return statements to describe the graphs' capacity providers and groups; often none."""
    statements: list[Json] = []
    providers = {p.name for c in scope.components for p in c.capacity_providers}
    if scope.groups:
        providers = {"*"}  # The clusters list the providers that use the groups.
    if providers:
        named = [f"{scope.arns.ecs}:capacity-provider/{name}" for name in providers]
        statements.append(
            statement("ReadCapacityProviders", ["ecs:DescribeCapacityProviders"], named)
        )
    if scope.groups:
        statements.append(
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
    return statements


def capacity_statements(scope: Scope) -> list[Json]:
    """Return statements to change the size of the graphs' Auto Scaling groups; often none."""
    groups, arns = scope.groups, scope.arns
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
            **scope.tagged("aws:RequestTag"),
        ),
    ]
