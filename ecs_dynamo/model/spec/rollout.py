"""Rollouts in the graph file: deployment limits, canaries, and how many revisions are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import Seconds, SpecModel

MAX_GRACE_SECONDS = 2_147_483_647
"""ECS's limit (service model, UpdateService.healthCheckGracePeriodSeconds)."""


class CanarySpec(SpecModel):
    """A rollout of a worker that starts with one replica of the new revision."""

    bake_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="Seconds that the first new replica must stay ready before the others follow.",
    )


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """How ecs-dynamo itself leads a rollout.

    Deployment limits and the health check grace period are ECS's (`ServiceSettings`).
    """

    progress_deadline_seconds: float = 1800
    canary: CanarySpec | None = None
    keep_revisions: int = 10


class RolloutSpec(SpecModel):
    """How a new revision replaces the old one."""

    minimum_healthy_percent: int = Field(
        default=100,
        ge=0,
        le=100,
        description="Share of the replicas, in percent, that ECS keeps healthy during a rollout. "
        "ECS rounds the number of replicas up.",
    )
    maximum_percent: int = Field(
        default=200,
        ge=0,
        le=200,
        description="Share of the replicas, in percent, that may run during a rollout: 100 to "
        "200. ECS rounds the number of replicas down.",
    )
    progress_deadline_seconds: Seconds = Field(
        default=1800,
        description="Seconds without progress after which a rollout has failed and is rolled back.",
    )
    circuit_breaker: bool = Field(
        default=True,
        description="Whether ECS's deployment circuit breaker rolls a failing deployment back.",
    )
    canary: CanarySpec | None = Field(
        default=None,
        description="Replace one replica first and the others once it has baked. For workers "
        "only. Default: no canary.",
    )
    keep_revisions: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Number of task definition revisions that are kept. Older ones are deleted.",
    )
    health_check_grace_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE_SECONDS)] | None = Field(
        default=None,
        description="Seconds after the start of a task during which ECS ignores failing health "
        "checks, of containers and of a load balancer. Default: progressDeadlineSeconds; 0 for "
        "etcd and NATS.",
    )

    @model_validator(mode="after")
    def _leaves_a_first_step(self) -> Self:
        if self.maximum_percent < 100:
            raise ValueError("maximumPercent is below 100; ECS takes 100 to 200")
        if self.maximum_percent == 100 and self.minimum_healthy_percent >= 100:
            raise ValueError(
                "maximumPercent 100 with minimumHealthyPercent 100 can never replace a task; "
                "raise the one or lower the other"
            )
        return self

    @property
    def policy(self) -> RolloutPolicy:
        """The part that ecs-dynamo carries out itself."""
        return RolloutPolicy(self.progress_deadline_seconds, self.canary, self.keep_revisions)
