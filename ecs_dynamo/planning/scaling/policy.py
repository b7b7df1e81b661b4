"""The interface of a scaling policy: measurements and state in, a decision with its reason out.

A new policy is one file here and one line in `POLICIES` (`registry.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.plan import Decision
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import ScalingSpec


@dataclass(frozen=True, slots=True)
class ScalingInput:
    """All that a policy may look at. ``current`` is the service's desired count.

    ``ready`` replicas serve; ``starting`` are the launch times (UTC seconds) of those that do not
    yet. ``observing_since`` is when this daemon began to look: what was before is unknown, so
    nothing may be scaled down until a whole window has been seen. ``declared`` is the count in
    the graph file, for policies that do not measure.
    """

    component: str
    spec: ScalingSpec
    current: int
    signals: tuple[Signal, ...]
    state: ScalingState
    observing_since: float
    now: float
    ready: int = 0
    starting: tuple[float, ...] = ()
    declared: int = 1


@dataclass(frozen=True, slots=True)
class ScalingOutput:
    """The decision, and the state to remember for the next pass."""

    decision: Decision
    state: ScalingState


class Policy(Protocol):
    """A pure function from what was measured to a desired count."""

    def __call__(self, given: ScalingInput) -> ScalingOutput: ...
