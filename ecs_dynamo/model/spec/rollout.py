"""Rollout limits, canaries and revision retention, as the graph file declares them."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import Seconds, SpecModel

Percent = Annotated[int, Field(ge=0, le=200)]
MAX_GRACE_SECONDS = 2_147_483_647
"""ECS's limit (service model, UpdateService.healthCheckGracePeriodSeconds)."""


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
