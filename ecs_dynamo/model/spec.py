"""The graph file, as a user writes it (YAML, camelCase keys, unknown keys refused).

It is shaped after Dynamo's v1beta1 graph resource (``components: [{name, type, replicas}]``)
wherever that has a word for the thing. Task definitions stay the user's own ECS files and are
only referred to from here. `ecs_dynamo.config` turns a `GraphSpec` into a `Graph`.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ecs_dynamo.model.base import Seconds, SpecModel
from ecs_dynamo.model.capacity_spec import (
    FARGATE_PROVIDERS,
    CapacityProviders,
    CapacitySpec,
    PlacementSpec,
    check_providers,
)
from ecs_dynamo.model.infrastructure_spec import NamesSpec, VolumeSpec
from ecs_dynamo.model.security_spec import SecuritySpec

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ContainerNames = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value,
        json_schema_input_type=str | list[str],
    ),
]
"""Names of containers in a task definition; a single one may be written without a list."""
Percent = Annotated[int, Field(ge=0, le=200)]
TargetGroupArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$"
    ),
]
MAX_COUNT = 2**31 - 1
"""ECS takes a count as a 32-bit integer (API reference, CreateService.desiredCount)."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
MAX_GRACE_SECONDS = 2_147_483_647
"""ECS's limit (service model, UpdateService.healthCheckGracePeriodSeconds)."""


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


class CanarySpec(SpecModel):
    """One replica of a worker's new revision first; the others follow once it has baked.

    ``bake_seconds``: for how long it must have been ready.
    """

    bake_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0


class RolloutSpec(SpecModel):
    """How a new revision replaces the old one: ECS's own deployment limits, in percent.

    ``keep_revisions``: how many task definition revisions are kept; older ones are deleted.
    ``health_check_grace_seconds``: for so long after a task has started ECS ignores failing health
    checks (of containers and of a load balancer); None: the progress deadline for what serves
    models, 0 for etcd and NATS.
    """

    minimum_healthy_percent: Annotated[int, Field(ge=0, le=100)] = 100
    maximum_percent: Percent = 200
    progress_deadline_seconds: Seconds = 1800
    circuit_breaker: bool = True
    canary: CanarySpec | None = None
    keep_revisions: Annotated[int, Field(ge=1, le=1000)] = 10
    health_check_grace_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE_SECONDS)] | None = None

    @model_validator(mode="after")
    def _room_to_move(self) -> Self:
        if self.maximum_percent < 100:
            raise ValueError("maximumPercent is below 100; ECS takes 100 to 200")
        if self.maximum_percent == 100 and self.minimum_healthy_percent >= 100:
            raise ValueError(
                "maximumPercent 100 with minimumHealthyPercent 100 can never replace a task; "
                "raise the one or lower the other"
            )
        return self

    def can_replace(self, replicas: int) -> bool:
        """Whether ECS can take a first step of a rollout of ``replicas`` within these limits.

        ECS rounds the number of tasks that must stay healthy up, and the number that may run down
        (service model, DeploymentConfiguration).
        """
        if replicas <= 0:
            return True
        must_stay = math.ceil(replicas * self.minimum_healthy_percent / 100)
        may_run = replicas * self.maximum_percent // 100
        return must_stay < replicas or may_run > replicas

    def widened(self, replicas: int) -> RolloutSpec:
        """Limits with which ``replicas`` can be replaced: these, or with room for one more task.

        The maximum is raised, rather than the minimum lowered, so that all replicas serve on.
        """
        if self.can_replace(replicas):
            return self
        return self.model_copy(
            update={"maximum_percent": math.ceil((replicas + 1) * 100 / replicas)}
        )


class FrontendSource(SpecModel):
    """Dynamo's own queue metrics, scraped from every ready frontend's private IP."""

    source: Literal["frontend"] = "frontend"


class JetStreamSource(SpecModel):
    """A JetStream consumer whose backlog (`num_pending` + `num_ack_pending`) is the demand.

    ``monitoring_url`` reads it from the server's `/jsz` where its account can not be joined.
    """

    source: Literal["jetstream"]
    stream: str
    consumer: str
    monitoring_url: str | None = None


class PrometheusSource(SpecModel):
    """An instant PromQL query; its one value is taken as ``kind``."""

    source: Literal["prometheus"]
    url: str
    query: str
    kind: Literal["queue_depth", "in_flight", "arrival_rate"] = "queue_depth"


CLOUDWATCH_PERIODS: dict[str, Any] = {
    "anyOf": [
        {"enum": [1, 5, 10, 20, 30]},
        {"minimum": 60, "multipleOf": 60, "type": "integer"},
    ]
}


def _known_period(seconds: int) -> int:
    """CloudWatch's periods (MetricStat.Period in its service model); it refuses any other."""
    if seconds not in (1, 5, 10, 20, 30) and (seconds < 60 or seconds % 60):
        raise ValueError(f"{seconds} is no period of CloudWatch; give 1, 5, 10, 20, 30 or 60 * n")
    return seconds


class CloudWatchSource(SpecModel):
    """A CloudWatch metric (GetMetricData), such as the length of an SQS queue."""

    source: Literal["cloudwatch"]
    namespace: str
    metric: str
    dimensions: dict[str, str] = Field(default_factory=dict)
    statistic: Literal["Average", "Sum", "Maximum", "Minimum", "SampleCount"] = "Average"
    period_seconds: Annotated[
        int, AfterValidator(_known_period), WithJsonSchema(CLOUDWATCH_PERIODS)
    ] = 60
    kind: Literal["queue_depth", "in_flight", "arrival_rate"] = "queue_depth"


class PlannerSource(SpecModel):
    """The counts that Dynamo's own planner publishes in etcd (its virtual connector)."""

    source: Literal["planner"]


SignalSource = Annotated[
    FrontendSource | JetStreamSource | PrometheusSource | CloudWatchSource | PlannerSource,
    Field(discriminator="source"),
]


class ScheduleSpec(SpecModel):
    """A window by the clock: from each time that ``cron`` names, for ``hours``.

    Within it ``min`` is a floor and ``max`` a ceiling for the count.
    """

    cron: str
    hours: Annotated[float, Field(gt=0, le=24 * 31)]
    timezone: str = "UTC"
    min: Count | None = None
    max: Count | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self


class ScalingSpec(SpecModel):
    """Scaling of one component from its measured demand; the largest demand wins.

    Policy ``slo`` keeps the share ``miss`` of requests from waiting longer than
    ``target_queue_seconds``; ``concurrency`` is how many requests a replica works on at once,
    ``cold_start_seconds`` what a launch is taken to need until it was measured, ``headroom`` how
    many standard errors of the forecast are added (0: neither these nor a learned reserve).
    Policy ``queue`` keeps ``target`` requests in hand for each replica, ``static`` the declared
    count. ``idle_seconds`` without demand come before zero, more than ``activation_threshold``
    requests in hand (0: any demand) before it starts again.
    """

    min: Count = 1
    max: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    policy: Literal["slo", "queue", "static"] = "slo"
    signals: Annotated[tuple[SignalSource, ...], Field(min_length=1)] = (FrontendSource(),)
    target_queue_seconds: Annotated[float, Field(gt=0)] = 2.0
    miss: Annotated[float, Field(gt=0, lt=1)] = 0.01
    headroom: Annotated[float, Field(ge=0, le=10)] = 1.0
    concurrency: Annotated[float, Field(gt=0)] = 1.0
    cold_start_seconds: Annotated[float, Field(gt=0)] = 300.0
    target: Annotated[float, Field(gt=0)] = 4.0
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scale_up_stabilization_seconds: Seconds = 0.0
    scale_down_stabilization_seconds: Seconds = 300.0
    max_step_up: Annotated[int, Field(ge=1)] = 4
    max_step_down: Annotated[int, Field(ge=1)] = 1
    max_signal_age_seconds: Annotated[float, Field(gt=0)] = 60.0
    idle_seconds: Seconds = 900.0
    activation_threshold: Annotated[float, Field(ge=0)] = 0.0
    schedule: tuple[ScheduleSpec, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self


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
