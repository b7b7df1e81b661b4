"""The graph file as a user writes it (YAML, camelCase keys, unknown keys are errors).

It uses the words of Dynamo's v1beta1 graph resource (``components: [{name, type, replicas}]``)
where that has one. Task definitions stay the user's own ECS files, which the graph file refers to.
`ecs_dynamo.config` turns a `GraphSpec` into a `Graph`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecs_dynamo.model.spec.base import (
    DrainSeconds,
    Name,
    SpecModel,
)
from ecs_dynamo.model.spec.capacity import (
    CapacitySpec,
)
from ecs_dynamo.model.spec.component import ComponentSpec
from ecs_dynamo.model.spec.infrastructure import InfrastructureSpec
from ecs_dynamo.model.spec.service import NetworkSpec


class ClustersSpec(SpecModel):
    """The ECS clusters in which the graph runs. They must exist."""

    infrastructure: str = Field(
        default="dynamo-fargate", description="Name or ARN of the cluster of etcd and NATS."
    )
    workers: str = Field(
        default="dynamo-GPU",
        description="Name or ARN of the cluster of the components that name no other.",
    )


class RuntimeSpec(SpecModel):
    """Dynamo settings that every component gets unless its task definition sets them."""

    request_plane: Literal["tcp", "nats"] = Field(
        default="tcp",
        description="Transport of requests (DYN_REQUEST_PLANE of Dynamo 1.6.1). nats needs NATS.",
    )
    event_plane: Literal["zmq", "nats"] = Field(
        default="zmq",
        description="Transport of events (DYN_EVENT_PLANE of Dynamo 1.6.1). nats needs NATS.",
    )
    system_port: int = Field(
        default=8081,
        ge=0,
        le=65535,
        description="Port of a worker's health and metrics (DYN_SYSTEM_PORT of Dynamo 1.6.1). 0: "
        "the worker chooses a free port.",
    )
    frontend_port: int = Field(
        default=8000, ge=1, le=65535, description="Port at which frontends serve HTTP."
    )
    drain_seconds: DrainSeconds = Field(
        default=60.0,
        description="Seconds that a busy replica has to finish its requests before it stops "
        "(DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS of Dynamo 1.6.1), unless its component "
        "declares its own. stopTimeout of the task definition must be longer.",
    )
    longest_request_seconds: float | None = Field(
        default=None,
        gt=0,
        le=86400,
        description="Seconds that the longest request takes. validate warns about components "
        "whose drain time is shorter. Default: not known.",
    )
    lease_seconds: int = Field(
        default=30,
        ge=1,
        le=600,
        description="Seconds after which the registration of a process that stopped renewing it "
        "expires (ETCD_LEASE_TTL of Dynamo 1.6.1).",
    )
    replace_lost_replicas: bool = Field(
        default=True,
        description="Whether replicas of a good revision that hang or have lost their "
        "registration are stopped, so that ECS replaces them.",
    )


class GraphSpec(SpecModel):
    """The whole graph file."""

    name: Name = Field(
        description="Name of the graph. ECS services and task definition families begin with it."
    )
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        default=None, description="Dynamo namespace (DYN_NAMESPACE). Default: the graph's name."
    )
    region: str | None = Field(
        default=None,
        description="AWS Region. Default: ECS_DYNAMO_REGION, AWS_REGION or AWS_DEFAULT_REGION of "
        "the environment.",
    )
    variables: dict[str, str] = Field(
        default_factory=dict,
        description="Values for ${NAME} in this file and in task definitions. They take "
        "precedence over the environment.",
    )
    tags: dict[str, str] = Field(
        default_factory=dict,
        description="Tags of every service and task definition that ecs-dynamo creates.",
    )
    clusters: ClustersSpec = Field(
        default=ClustersSpec(), description="ECS clusters in which the graph runs."
    )
    network: NetworkSpec = Field(
        default=NetworkSpec(), description="Network of all tasks in awsvpc mode."
    )
    infrastructure: InfrastructureSpec = Field(
        description="etcd and NATS, which Dynamo uses for discovery and messages."
    )
    runtime: RuntimeSpec = Field(
        default=RuntimeSpec(),
        description="Settings of Dynamo's runtime, for every component.",
    )
    capacity: CapacitySpec = Field(
        default=CapacitySpec(),
        description="Auto Scaling groups that ecs-dynamo sizes, and when instances are released.",
    )
    components: tuple[ComponentSpec, ...] = Field(
        min_length=1, description="Components of the graph: frontends, workers and planners."
    )
