"""Scaling policies, their signals and schedules, as the graph file declares them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from ecs_dynamo.model.spec.base import Seconds, SpecModel

MAX_COUNT = 2**31 - 1
"""ECS takes a count as a 32-bit integer (API reference, CreateService.desiredCount)."""


Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


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
