"""Settings that the graph file declares in the same way for all ECS services of the graph."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ecs_dynamo.model.spec.base import SpecModel
from ecs_dynamo.model.spec.rollout import RolloutSpec


class LaunchType(StrEnum):
    """ECS launch type."""

    EC2 = "EC2"
    FARGATE = "FARGATE"


class NetworkSpec(SpecModel):
    """Network of tasks in awsvpc mode (ECS API reference, AwsVpcConfiguration)."""

    subnets: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="Ids of the subnets in which ECS starts tasks. Required for tasks in awsvpc "
        "mode.",
    )
    security_groups: tuple[str, ...] = Field(
        default=(),
        max_length=5,
        description="Ids of the tasks' security groups. They must allow all TCP between Dynamo's "
        "tasks. Default: the VPC's default security group.",
    )
    assign_public_ip: bool = Field(
        default=False,
        description="Whether tasks get a public IP address. ECS supports it on Fargate only.",
    )


class ServiceSpec(SpecModel):
    """Keys that components and the infrastructure have in common."""

    rollout: RolloutSpec = Field(
        default=RolloutSpec(),
        description="Deployment limits, deadline and canary of rollouts.",
    )
    enable_execute_command: bool = Field(
        default=False,
        description="Whether ECS Exec can run commands in the tasks' containers. The task role "
        "needs permissions for ssmmessages.",
    )
