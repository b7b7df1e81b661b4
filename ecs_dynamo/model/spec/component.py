"""Components in the graph file: frontends, workers and planners."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from ecs_dynamo.model.spec.base import DrainSeconds, Name
from ecs_dynamo.model.spec.capacity import (
    FARGATE_PROVIDERS,
    CapacityProviders,
    PlacementSpec,
    check_providers,
)
from ecs_dynamo.model.spec.scaling import Scaling
from ecs_dynamo.model.spec.schedule import Count
from ecs_dynamo.model.spec.service import LaunchType, NetworkSpec, ServiceSpec

ContainerNames = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value,
        json_schema_input_type=str | list[str],
    ),
]
"""Names of containers in a task definition. A single name may be written without a list."""


TargetGroupArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$"
    ),
]


class ComponentType(StrEnum):
    """Type of a declared component, in the words of Dynamo's v1beta1 graph resource."""

    FRONTEND = "frontend"
    PREFILL = "prefill"
    DECODE = "decode"
    WORKER = "worker"
    PLANNER = "planner"


WORKER_TYPES = frozenset({ComponentType.PREFILL, ComponentType.DECODE, ComponentType.WORKER})


class ComponentSpec(ServiceSpec):
    """One component of the graph: an ECS service that runs replicas of a task definition."""

    name: Name = Field(
        description="Name of the component. Its ECS service is called <graph>-<component>."
    )
    type: ComponentType = Field(
        description="What the component does. worker is an aggregated worker (prefill and decode)."
    )
    also_runs: tuple[ComponentType, ...] = Field(
        default=(), description="Further types that run in the same task."
    )
    replicas: Count = Field(
        default=1, description="Number of replicas. With scaling, the initial number."
    )
    task_definition: str = Field(
        description="Path of the task definition file (JSON or YAML), relative to the graph file."
    )
    cluster: str | None = Field(
        default=None, description="Name or ARN of the ECS cluster. Default: clusters.workers."
    )
    launch_type: LaunchType = Field(
        default=LaunchType.EC2,
        description="ECS launch type. Cannot be combined with capacityProviders.",
    )
    container: ContainerNames = Field(
        default=(),
        description="Name, or list of names, of the containers that run Dynamo. Default: inferred "
        "from the task definition.",
    )
    image: str | None = Field(
        default=None,
        description="Image of the containers that run Dynamo. Default: that of the task "
        "definition.",
    )
    command: tuple[str, ...] | None = Field(
        default=None,
        description="Command of the container that runs Dynamo. Default: that of the task "
        "definition.",
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables of the containers that run Dynamo. ${secret:name} and "
        "${ssm:/path} become secrets of ECS.",
    )
    drain_seconds: DrainSeconds | None = Field(
        default=None,
        description="Seconds that a busy replica has to finish its requests before it stops. "
        "Dynamo gets them as DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS (workers) and "
        "DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS (frontends), and stopTimeout is raised "
        "accordingly. Default: runtime.drainSeconds.",
    )
    scaling: Scaling | None = Field(
        default=None, description="Scaling by demand. Default: the count is replicas."
    )
    network: NetworkSpec | None = Field(
        default=None,
        description="Network of the component's tasks in awsvpc mode. Default: network of the "
        "graph.",
    )
    target_group_arn: TargetGroupArn | None = Field(
        default=None,
        description="ARN of the load balancer target group that sends requests to the frontend. "
        "Default: no load balancer.",
    )
    capacity_providers: CapacityProviders = Field(
        default=(),
        description="Capacity provider strategy, instead of launchType. Default: launchType.",
    )
    placement: PlacementSpec = Field(
        default=PlacementSpec(), description="Where ECS places the replicas on EC2."
    )
    availability_zone_rebalancing: bool = Field(
        default=False,
        description="Whether ECS may move replicas to even out the Availability Zones, even while "
        "they serve requests.",
    )

    @model_validator(mode="after")
    def _has_one_kind_of_capacity(self) -> Self:
        check_providers(self.capacity_providers)
        if self.capacity_providers and "launch_type" in self.model_fields_set:
            raise ValueError(
                "launchType and capacityProviders contradict each other (ECS takes one of them); "
                "remove launchType"
            )
        placed = self.placement.strategy or self.placement.constraints
        if placed and self.effective_launch_type is LaunchType.FARGATE:
            raise ValueError("placement is for EC2; Fargate places tasks itself: remove placement")
        return self

    @property
    def effective_launch_type(self) -> LaunchType:
        """Where the replicas run, by launch type or capacity providers."""
        if self.capacity_providers:
            fargate = self.capacity_providers[0].name in FARGATE_PROVIDERS
            return LaunchType.FARGATE if fargate else LaunchType.EC2
        return self.launch_type

    @model_validator(mode="after")
    def _only_workers_have_a_canary(self) -> Self:
        types = {self.type, *self.also_runs}
        if self.rollout.canary is not None and not types & WORKER_TYPES:
            raise ValueError(f"rollout.canary is for workers, not for a {self.type}; leave it out")
        return self

    @model_validator(mode="after")
    def _replicas_are_within_scaling(self) -> Self:
        scaling = self.scaling
        if scaling and not scaling.min <= self.replicas <= scaling.max:
            raise ValueError(
                f"replicas {self.replicas} is outside scaling min {scaling.min} to "
                f"max {scaling.max}; set replicas within them"
            )
        return self
