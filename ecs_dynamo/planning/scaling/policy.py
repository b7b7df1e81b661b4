"""The interface of a scaling policy: measurements and history in, a decision with its reason out.

A new policy is one file here and one line in `POLICIES` (`registry.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ecs_dynamo.model.plan import Decision, Recommendation
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec import ScalingSpec


@dataclass(frozen=True, slots=True)
class ScalingInput:
    """All that a policy may look at. ``current`` is the service's desired count.

    ``observing_since`` is when this daemon began to look (UTC seconds): history before it is
    unknown, so nothing may be scaled down until a whole window has been seen.
    """

    component: str
    spec: ScalingSpec
    current: int
    signals: tuple[Signal, ...]
    history: tuple[Recommendation, ...]
    observing_since: float
    now: float


@dataclass(frozen=True, slots=True)
class ScalingOutput:
    """The decision, and the history to remember for the next pass."""

    decision: Decision
    history: tuple[Recommendation, ...]


class Policy(Protocol):
    """A pure function from what was measured to a desired count."""

    def __call__(self, given: ScalingInput) -> ScalingOutput: ...
