"""What planning remembers of the health of replicas that serve, between passes.

All of it may be lost at any time: a fresh memory only takes longer to judge, and judges nobody
wrongly. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Symptom(StrEnum):
    """What is wrong with a replica; also the reason word of Degraded."""

    HANGS = "ReplicaHangs"
    """Its own page does not answer."""
    UNREGISTERED = "RegistrationLost"
    """It runs, and no registration in Dynamo's discovery is its."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A replica with something wrong, in each of ``passes`` passes in a row.

    ``since``: when it was last known to be well. ``unregistered_since``: since when discovery has
    nothing of it; None while it may be registered. ``work``: requests and the like in hand at it,
    None where that is not known, and ``work_since``: since when it has been that much.
    ``reached``: its host took or refused a connection in the last pass.
    ``detail``: what was seen, for people.
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
    """A replica was stopped to be replaced: when, which (its ARN), and the pause until a further
    one of its component may be."""

    at: float
    task: str
    pause: float


@dataclass(frozen=True, slots=True)
class HealthMemory:
    """What is remembered.

    ``proven``: ARNs of tasks that were seen ready. ``suspects``: by ARN. ``staff``: by component,
    how many ready replicas it had, up to those that it should have. ``short_since``: by component,
    since when fewer are. ``served``: the graph was seen to serve. ``nobody_since``: since when it
    serves nobody. ``stops``: the last stop, by component.
    """

    proven: frozenset[str] = frozenset()
    suspects: Mapping[str, Suspect] = field(default_factory=dict)
    staff: Mapping[str, int] = field(default_factory=dict)
    short_since: Mapping[str, float] = field(default_factory=dict)
    served: bool = False
    nobody_since: float | None = None
    stops: Mapping[str, Stop] = field(default_factory=dict)
