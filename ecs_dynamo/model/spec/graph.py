"""The graph file, as a user writes it (YAML, camelCase keys, unknown keys refused).

It is shaped after Dynamo's v1beta1 graph resource (``components: [{name, type, replicas}]``)
wherever that has a word for the thing. Task definitions stay the user's own ECS files and are
only referred to from here. `ecs_dynamo.config` turns a `GraphSpec` into a `Graph`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ecs_dynamo.model.spec.base import (
    SpecModel,
)
from ecs_dynamo.model.spec.capacity import (
    FARGATE_PROVIDERS,
    CapacityProviders,
    CapacitySpec,
    PlacementSpec,
    check_providers,
)
from ecs_dynamo.model.spec.infrastructure import (
    NamesSpec,
    VolumeSpec,
)
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.scaling import Count, ScalingSpec
from ecs_dynamo.model.spec.security import SecuritySpec

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ContainerNames = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value,
        json_schema_input_type=str | list[str],
    ),
]
"""Names of containers in a task definition; a single one may be written without a list."""
TargetGroupArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$"
    ),
]


class ComponentType(StrEnum):
    """What a declared component is; the words are those of Dynamo's v1beta1 graph resource."""

    FRONTEND = "frontend"
    PREFILL = "prefill"
    DECODE = "decode"
    WORKER = "worker"
    PLANNER = "planner"


WORKER_TYPES = frozenset({ComponentType.PREFILL, ComponentType.DECODE, ComponentType.WORKER})


class LaunchType(StrEnum):
    """ECS launch type."""

    EC2 = "EC2"
    FARGATE = "FARGATE"


class NetworkSpec(SpecModel):
    """awsvpc placement of tasks; needed by every component whose network mode is awsvpc.

    At most 16 subnets and 5 security groups (API reference, AwsVpcConfiguration).
    """

    subnets: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    security_groups: Annotated[tuple[str, ...], Field(max_length=5)] = ()
    assign_public_ip: bool = False


class ClustersSpec(SpecModel):
    """Names (or ARNs) of the ECS clusters."""

    infrastructure: str = "dynamo-fargate"
    workers: str = "dynamo-GPU"


class InfraServiceSpec(SpecModel):
    """etcd or NATS: a task definition to run on Fargate, or endpoints that exist already.

    ``volume`` keeps its data beyond the life of a task. ``replicas`` 3, for etcd alone, makes a
    cluster that outlives the loss of any one of them.
    """

    task_definition: str | None = None
    endpoints: tuple[str, ...] = ()
    replicas: Literal[1, 3] = 1
    volume: VolumeSpec | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.task_definition is None) == (not self.endpoints):
            raise ValueError("give exactly one of taskDefinition and endpoints")
        if self.endpoints and self.volume is not None:
            raise ValueError("volume is for a taskDefinition; leave it out beside endpoints")
        if self.endpoints and self.replicas != 1:
            raise ValueError("replicas is for a taskDefinition; leave it out beside endpoints")
        if self.replicas != 1 and self.volume is not None:
            raise ValueError(
                "the members of a cluster hold its data together; leave out volume, or set "
                "replicas to 1"
            )
        return self


class InfrastructureSpec(SpecModel):
    """etcd and NATS: together in one task (``taskDefinition``), or each on its own."""

    task_definition: str | None = None
    etcd: InfraServiceSpec | None = None
    nats: InfraServiceSpec | None = None
    launch_type: LaunchType = LaunchType.FARGATE
    rollout: RolloutSpec = RolloutSpec()
    security: SecuritySpec = SecuritySpec()
    names: NamesSpec | None = None

    @model_validator(mode="after")
    def _together_or_apart(self) -> Self:
        if self.task_definition is not None and (self.etcd or self.nats):
            raise ValueError("taskDefinition runs etcd and NATS together; leave out etcd and nats")
        if self.task_definition is None and self.etcd is None:
            raise ValueError("give taskDefinition (etcd and NATS together) or etcd")
        if self.nats is not None and self.nats.replicas != 1:
            raise ValueError("nats.replicas must be 1; clusters are for etcd")
        if self.rollout.canary is not None:
            raise ValueError("rollout.canary is for workers; leave it out here")
        return self


class RuntimeSpec(SpecModel):
    """Dynamo runtime settings injected into every component unless its task definition has them.

    A JetStream-era or ``nats`` plane needs NATS; with ``tcp`` and ``zmq`` NATS may be left out.
    ``replace_lost_replicas``: stop replicas of a good revision that hang, or have lost their
    registration, so that ECS replaces them.
    """

    request_plane: Literal["tcp", "nats"] = "tcp"
    event_plane: Literal["zmq", "nats"] = "zmq"
    system_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    frontend_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    drain_seconds: Annotated[float, Field(ge=0, le=7200)] = 60.0
    lease_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    replace_lost_replicas: bool = True


class ComponentSpec(SpecModel):
    """One component: an ECS service that runs ``replicas`` tasks of ``taskDefinition``.

    ``container``: which of its containers run Dynamo, where that is not to be inferred.
    """

    name: Name
    type: ComponentType
    also_runs: tuple[ComponentType, ...] = ()
    replicas: Count = 1
    task_definition: str
    cluster: str | None = None
    launch_type: LaunchType = LaunchType.EC2
    container: ContainerNames = ()
    image: str | None = None
    command: tuple[str, ...] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    rollout: RolloutSpec = RolloutSpec()
    scaling: ScalingSpec | None = None
    network: NetworkSpec | None = None
    target_group_arn: TargetGroupArn | None = None
    capacity_providers: CapacityProviders = ()
    placement: PlacementSpec = PlacementSpec()
    availability_zone_rebalancing: bool = False

    @model_validator(mode="after")
    def _one_way_to_capacity(self) -> Self:
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
        """What the replicas run on, by launch type or capacity providers."""
        if self.capacity_providers:
            fargate = self.capacity_providers[0].name in FARGATE_PROVIDERS
            return LaunchType.FARGATE if fargate else LaunchType.EC2
        return self.launch_type

    @model_validator(mode="after")
    def _canary_of_workers(self) -> Self:
        types = {self.type, *self.also_runs}
        if self.rollout.canary is not None and not types & WORKER_TYPES:
            raise ValueError(f"rollout.canary is for workers, not for a {self.type}; leave it out")
        return self

    @model_validator(mode="after")
    def _replicas_within_scaling(self) -> Self:
        scaling = self.scaling
        if scaling and not scaling.min <= self.replicas <= scaling.max:
            raise ValueError(
                f"replicas {self.replicas} is outside scaling min {scaling.min} to "
                f"max {scaling.max}; set replicas within them"
            )
        return self


class GraphSpec(SpecModel):
    """The whole graph file."""

    name: Name
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    region: str | None = None
    variables: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    clusters: ClustersSpec = ClustersSpec()
    network: NetworkSpec = NetworkSpec()
    infrastructure: InfrastructureSpec
    runtime: RuntimeSpec = RuntimeSpec()
    capacity: CapacitySpec = CapacitySpec()
    components: Annotated[tuple[ComponentSpec, ...], Field(min_length=1)]
