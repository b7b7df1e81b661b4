"""Scaling policies, their signals and schedules, as the graph file declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from ecs_dynamo.model.spec.base import Seconds, SpecModel
from ecs_dynamo.model.spec.schedule import MAX_COUNT, Count, ScheduleSpec, bounds_within

_SOURCE = "Where the demand is measured."
POLICY_DESCRIPTION = "Scaling policy: slo, queue or static."


class FrontendSource(SpecModel):
    """Dynamo's own queue metrics, scraped from the private IP of every ready frontend."""

    source: Literal["frontend"] = Field(default="frontend", description=_SOURCE)


class JetStreamSource(SpecModel):
    """A JetStream consumer whose backlog (`num_pending` + `num_ack_pending`) is the demand."""

    source: Literal["jetstream"] = Field(description=_SOURCE)
    stream: str = Field(description="Name of the JetStream stream.")
    consumer: str = Field(description="Name of the stream's consumer.")
    monitoring_url: str | None = Field(
        default=None,
        description=(
            "Base URL of the server's monitoring port. The backlog is then read from its `/jsz`, "
            "for accounts that ecs-dynamo cannot join."
        ),
    )


DemandKind = Literal["queue_depth", "in_flight", "arrival_rate", "rejection_rate"]
"""Quantities that the value of a query or a metric can measure."""


class PrometheusSource(SpecModel):
    """An instant PromQL query that returns one value."""

    source: Literal["prometheus"] = Field(description=_SOURCE)
    url: str = Field(description="Base URL of the Prometheus server.")
    query: str = Field(description="PromQL query with one value as its result.")
    kind: DemandKind = Field(default="queue_depth", description="What the value measures.")


CLOUDWATCH_PERIODS: dict[str, Any] = {
    "anyOf": [
        {"enum": [1, 5, 10, 20, 30]},
        {"minimum": 60, "multipleOf": 60, "type": "integer"},
    ]
}


def _known_period(seconds: int) -> int:
    """Reject a period that CloudWatch rejects (MetricStat.Period in its service model)."""
    if seconds not in (1, 5, 10, 20, 30) and (seconds < 60 or seconds % 60):
        raise ValueError(
            f"{seconds} is not a period of CloudWatch; give 1, 5, 10, 20, 30 or a multiple of 60"
        )
    return seconds


class CloudWatchSource(SpecModel):
    """A CloudWatch metric (GetMetricData), such as the length of an SQS queue."""

    source: Literal["cloudwatch"] = Field(description=_SOURCE)
    namespace: str = Field(description="Namespace of the metric, such as AWS/SQS.")
    metric: str = Field(description="Name of the metric.")
    dimensions: dict[str, str] = Field(
        default_factory=dict, description="Dimensions of the metric, by name."
    )
    statistic: Literal["Average", "Sum", "Maximum", "Minimum", "SampleCount"] = Field(
        default="Average", description="Statistic of each period."
    )
    period_seconds: Annotated[
        int, AfterValidator(_known_period), WithJsonSchema(CLOUDWATCH_PERIODS)
    ] = Field(default=60, description="Length of a period in seconds: 1, 5, 10, 20, 30 or 60 * n.")
    kind: DemandKind = Field(default="queue_depth", description="What the value measures.")
    missing: Literal["unknown", "zero"] = Field(
        default="unknown",
        description=(
            "What a period without a data point means: zero for metrics that AWS publishes only "
            "while there is something to count."
        ),
    )


class PlannerSource(SpecModel):
    """The counts that Dynamo's own planner publishes in etcd (its virtual connector)."""

    source: Literal["planner"] = Field(description=_SOURCE)


SignalSource = Annotated[
    FrontendSource | JetStreamSource | PrometheusSource | CloudWatchSource | PlannerSource,
    Field(discriminator="source"),
]


class ScalingSpec(SpecModel):
    """How one component is scaled: what every policy shares.

    Each policy's parameters are a subclass, chosen by ``policy`` (`Scaling`). Where several signals
    are given, the largest demand counts.
    """

    follows_demand: ClassVar[bool] = True
    """Whether the count depends on measurements; otherwise it is the declared one."""

    min: Count = Field(default=1, description="Smallest number of replicas.")
    max: Annotated[int, Field(ge=1, le=MAX_COUNT, description="Largest number of replicas.")]
    signals: Annotated[tuple[SignalSource, ...], Field(min_length=1)] = Field(
        default=(FrontendSource(),),
        description="Where the demand is measured; the largest fresh value counts.",
    )
    scale_up_stabilization_seconds: Seconds = Field(
        default=0.0,
        description="Scale up only to the smallest recommendation of this many seconds.",
    )
    scale_down_stabilization_seconds: Seconds = Field(
        default=300.0,
        description="Scale down only to the largest recommendation of this many seconds.",
    )
    max_step_up: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description=(
            "Largest number of replicas added per pass; default: the larger of 4 and the count."
        ),
    )
    max_step_down: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description=(
            "Largest number of replicas removed per pass; default: a quarter of them, at least 1."
        ),
    )
    max_signal_age_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60.0, description="Measurements older than this many seconds do not count."
    )
    idle_seconds: Seconds | None = Field(
        default=None,
        description=(
            "Seconds without demand before the component scales to zero (min 0). Default: learned "
            "from the cold start and from earlier idle times."
        ),
    )
    activation_threshold: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="Pending requests above which a component starts from zero; 0: any demand.",
    )
    schedule: tuple[ScheduleSpec, ...] = Field(
        default=(), description="Floors and ceilings of the count by the clock."
    )

    def step_up(self, count: int) -> int:
        """Return the largest number of replicas that a pass may add to ``count``.

        The default is that of the Kubernetes horizontal pod autoscaler (``behavior.scaleUp``).
        """
        return max(4, count) if self.max_step_up is None else self.max_step_up

    def step_down(self, count: int) -> int:
        """Return the largest number of replicas that a pass may remove from ``count``."""
        return max(1, count // 4) if self.max_step_down is None else self.max_step_down

    def counts(self, replicas: int) -> range:
        """Return the range of the counts that a component with ``replicas`` may have."""
        # Several open windows lead to no smaller and no larger count than each of them alone.
        combinations = ((), *((window,) for window in self.schedule))
        bounds = [bounds_within(self.min, self.max, windows) for windows in combinations]
        if not self.follows_demand:
            bounds = [(count, count) for count in (min(max(replicas, a), b) for a, b in bounds)]
        return range(min(low for low, _ in bounds), max(high for _, high in bounds) + 1)

    @property
    def policy_name(self) -> str:
        """The policy as the graph file names it."""
        name: str = type(self).model_fields["policy"].default
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self


class QueueParameters(SpecModel):
    """Settings for scaling by the queue depth only."""

    target: Annotated[float, Field(gt=0)] = Field(
        default=4.0, description="Pending requests per replica to aim at."
    )
    tolerance: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="Relative deviation from the target up to which the count is kept.",
    )


class QueueScaling(ScalingSpec, QueueParameters):
    """Policy ``queue``: keeps ``target`` pending requests for each replica."""

    policy: Literal["queue"] = Field(default="queue", description=POLICY_DESCRIPTION)


class InterTokenModel(SpecModel):
    """The inter-token latency of a replica, linear in the number of requests it decodes at once."""

    base_seconds: Annotated[float, Field(gt=0)] = Field(
        description="Inter-token latency of a single request, without its perRequestSeconds."
    )
    per_request_seconds: Seconds = Field(
        description="Seconds that each request of the batch adds to the inter-token latency."
    )


class SloScaling(ScalingSpec, QueueParameters):
    """Policy ``slo``: keeps all but the share ``miss`` of requests from waiting longer than
    ``target_queue_seconds``.

    ``target_ttft_seconds`` limits the queue time and decides which requests count as late, and
    ``target_itl_seconds`` limits the number of requests that a replica decodes at once. While no
    arrival rate or speed of a replica is known the policy scales from the queue depth, so it has
    the parameters of policy ``queue`` too.
    """

    policy: Literal["slo"] = Field(default="slo", description=POLICY_DESCRIPTION)
    target_queue_seconds: Annotated[float, Field(gt=0)] = Field(
        default=2.0, description="Queue time to keep, in seconds."
    )
    target_ttft_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description=(
            "Time to first token to keep, in seconds. It limits the queue time, and a request "
            "above it counts as late."
        ),
    )
    target_itl_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description=(
            "Mean inter-token latency to keep, in seconds. It limits the requests that a replica "
            "decodes at once."
        ),
    )
    miss: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.01, description="Share of the requests that may wait longer than the target."
    )
    headroom: Annotated[float, Field(ge=0, le=10)] = Field(
        default=1.0,
        description=(
            "Multiple of the learned margin above the forecast that is kept; 0 turns the margin "
            "and the reserve off."
        ),
    )
    concurrency: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description=(
            "Requests that one replica works on at once. Default: learned; 1 for prefill workers."
        ),
    )
    itl_model: InterTokenModel | None = Field(
        default=None,
        description=(
            "Inter-token latency by the number of requests that a replica decodes at once. "
            "Default: learned."
        ),
    )
    kv_tokens: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Tokens that the KV cache of one replica holds. Default: learned from its use.",
    )
    cold_start_seconds: Annotated[float, Field(gt=0)] = Field(
        default=300.0,
        description="Seconds from launch to serving that are assumed until one was measured.",
    )

    @model_validator(mode="after")
    def _itl_can_be_kept(self) -> Self:
        target, model = self.target_itl_seconds, self.itl_model
        if target is None or model is None:
            return self
        least = model.base_seconds + model.per_request_seconds
        if target < least:
            raise ValueError(
                f"targetItlSeconds {target:g} cannot be kept: according to itlModel, that of a "
                f"single request is {least:g} s; raise targetItlSeconds, or correct itlModel"
            )
        return self


class StaticScaling(ScalingSpec):
    """Policy ``static``: keeps the declared count; schedules still apply."""

    policy: Literal["static"] = Field(default="static", description=POLICY_DESCRIPTION)
    follows_demand: ClassVar[bool] = False


AnyScaling = SloScaling | QueueScaling | StaticScaling
"""The parameters of one policy. A new policy is a class above and a member here."""

DEFAULT_POLICY = "slo"
SCALING_POLICIES: Mapping[str, type[ScalingSpec]] = {
    spec.model_fields["policy"].default: spec for spec in get_args(AnyScaling)
}
"""The parameter classes by the name of their policy."""


def ignored_parameters(values: Any) -> list[str]:
    """Return the keys of the raw mapping ``values`` that only other policies have.

    They are accepted and have no effect: a file may keep the parameters of a policy that it left.
    """
    if not isinstance(values, Mapping):
        return []
    name = values.get("policy", DEFAULT_POLICY)
    own = SCALING_POLICIES.get(name) if isinstance(name, str) else None
    if own is None:
        return []
    others = set[str]().union(*map(_keys, SCALING_POLICIES.values())) - _keys(own)
    return [key for key in values if key in others]


def _keys(spec: type[ScalingSpec]) -> set[str]:
    return {key for name, field in spec.model_fields.items() for key in (name, field.alias or name)}


def _with_policy(values: Any) -> Any:
    """Return raw values with the policy that is meant, and without other policies' parameters."""
    if not isinstance(values, Mapping):
        return values
    ignored = ignored_parameters(values)
    kept = {key: value for key, value in values.items() if key not in ignored}
    return {"policy": DEFAULT_POLICY, **kept}


Scaling = Annotated[
    Annotated[AnyScaling, Field(discriminator="policy")], BeforeValidator(_with_policy)
]
"""The value of ``scaling`` in the graph file."""

_SCALING: TypeAdapter[AnyScaling] = TypeAdapter(Scaling)


def scaling_of(values: Mapping[str, Any]) -> AnyScaling:
    """Return the parameters of the policy that ``values`` names, by Python's or the file's keys.

    Raises pydantic's ValidationError.
    """
    return _SCALING.validate_python(values)
