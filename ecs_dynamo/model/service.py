"""An ECS service and its deployments, as observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecs_dynamo.common.arns import sibling_revision
from ecs_dynamo.model.graph import TAG_GOOD, TAG_GRAPH
from ecs_dynamo.model.service_settings import ServiceSettings
from ecs_dynamo.model.spec.service import NetworkSpec


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a service; ``status`` PRIMARY is the one in force."""

    id: str
    status: str
    task_definition_arn: str
    desired: int
    running: int
    pending: int
    failed: int = 0
    rollout_state: str = "COMPLETED"
    rollout_reason: str = ""
    updated_at: float | None = None
    created_at: float | None = None
    network: NetworkSpec | None = None
    """The awsvpc configuration of its tasks, where they have one."""


@dataclass(frozen=True, slots=True)
class Service:
    """One ECS service. ``status``: ACTIVE, DRAINING or INACTIVE."""

    arn: str
    name: str
    cluster: str
    status: str
    desired: int
    running: int
    pending: int
    task_definition_arn: str
    deployments: tuple[Deployment, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    events: tuple[str, ...] = ()
    rolled_back_at: float | None = None
    """When the circuit breaker last rolled a deployment back, according to the service's events."""

    def owned_by(self, graph: str) -> bool:
        """Whether the service carries ``graph``'s ownership tag."""
        return self.tags.get(TAG_GRAPH) == graph


def good_number(service: Service | None) -> int | None:
    """Return the number of the revision that is marked good on the service; None if none is."""
    text = service.tags.get(TAG_GOOD, "") if service is not None else ""
    return int(text) if text.isdecimal() else None


def good_arn(service: Service) -> str | None:
    """Return the ARN of the revision that is marked good; None if none is."""
    number = good_number(service)
    return None if number is None else sibling_revision(service.task_definition_arn, number)
