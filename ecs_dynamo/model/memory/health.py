"""Memory of the health of serving replicas between passes.

It may be lost at any time: with a fresh memory planning only takes longer to reach the same
conclusions. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ecs_dynamo.model.conditions import ConditionReason


class Symptom(StrEnum):
    """Symptom of a lost replica, and reason word of Degraded."""

    HANGS = ConditionReason.REPLICA_HANGS
    """The replica's own page does not answer."""
    UNREGISTERED = ConditionReason.REGISTRATION_LOST
    """The replica runs, but Dynamo's discovery has no registration of it."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A replica that had a symptom in each of the last ``passes`` passes."""

    symptom: Symptom
    since: float
    """When it was last known to be healthy."""
    passes: int = 1
    unregistered_since: float | None = None
    """Since when discovery has had no registration of it; None while it may be registered."""
    work: float | None = None
    """Number of its pending and running requests; None where it is unknown."""
    work_since: float = 0.0
    """Since when ``work`` has been unchanged."""
    reached: bool = False
    """Whether its host accepted or refused a connection in the last pass."""
    detail: str = ""
    """The observation, in words."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A replica that was stopped so that ECS replaces it."""

    at: float
    task: str
    """ARN of the task."""
    pause: float
    """Seconds until another replica of the component may be stopped."""


@dataclass(frozen=True, slots=True)
class HealthMemory:
    """Memory of the health of one graph."""

    proven: frozenset[str] = frozenset()
    """ARNs of tasks that were observed ready."""
    suspects: Mapping[str, Suspect] = field(default_factory=dict)
    """Task ARN -> suspect."""
    ready_baseline: Mapping[str, int] = field(default_factory=dict)
    """Component -> number of replicas that have been ready, at most the desired count."""
    below_baseline_since: Mapping[str, float] = field(default_factory=dict)
    """Component -> since when fewer replicas than the baseline are ready."""
    served: bool = False
    """Whether the graph was observed serving."""
    unserved_since: float | None = None
    """Since when the graph has not served any request; None while it serves."""
    stops: Mapping[str, Stop] = field(default_factory=dict)
    """Component -> its last stop."""


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """A problem of a component: reason word, message, and number of lost replicas."""

    reason: ConditionReason
    message: str
    lost: int
