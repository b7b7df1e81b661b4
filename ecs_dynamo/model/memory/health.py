"""Planning's memory between passes about the health of serving replicas.

The memory may be lost at any time: with a fresh one planning only takes longer to reach the same
conclusions, and never reaches a wrong one. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Symptom(StrEnum):
    """The symptom of a replica; also the reason word of Degraded."""

    HANGS = "ReplicaHangs"
    """Its own page does not answer."""
    UNREGISTERED = "RegistrationLost"
    """It runs, and Dynamo's discovery has no registration of it."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A replica that had a symptom in each of the last ``passes`` passes.

    ``since``: when it was last known to be healthy. ``unregistered_since``: since when discovery
    has had no registration of it; None while it may be registered. ``work``: its pending and
    running requests, None where they are unknown, and ``work_since``: since when that number has
    been unchanged. ``reached``: its host accepted or refused a connection in the last pass.
    ``detail``: what was observed, in words.
    """

    symptom: Symptom
    since: float
    passes: int = 1
    unregistered_since: float | None = None
    work: float | None = None
    work_since: float = 0.0
    reached: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """The stop of a replica for its replacement: the time, its ARN, and the seconds that must pass
    before another replica of its component may be stopped."""

    at: float
    task: str
    pause: float


@dataclass(frozen=True, slots=True)
class HealthMemory:
    """The memory of a graph.

    ``proven``: ARNs of tasks that were observed ready. ``suspects``: by task ARN.
    ``ready_baseline``: by component, how many replicas have been ready, at most the desired count.
    ``below_baseline_since``: by component, since when fewer are ready. ``served``: the graph was
    observed serving. ``unserved_since``: since when it has served nobody. ``stops``: the last stop
    of each component.
    """

    proven: frozenset[str] = frozenset()
    suspects: Mapping[str, Suspect] = field(default_factory=dict)
    ready_baseline: Mapping[str, int] = field(default_factory=dict)
    below_baseline_since: Mapping[str, float] = field(default_factory=dict)
    served: bool = False
    unserved_since: float | None = None
    stops: Mapping[str, Stop] = field(default_factory=dict)


SERVES_NOBODY = "ServesNobody"
"""Reason word of Degraded, for the graph."""


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """A component's problem: a reason word, a message, and the number of lost replicas."""

    reason: str
    message: str
    lost: int
