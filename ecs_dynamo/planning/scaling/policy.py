"""The interface of a scaling policy: measurements and state in, a decision with its reason out.

A new policy is a file in `policies/` and one line in `POLICIES` (`registry.py`); its parameters are
a class in `model/spec/scaling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.plan import Decision
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.demand import Demand

Spec = TypeVar("Spec", bound=ScalingSpec, covariant=True)
AcceptedSpec = TypeVar("AcceptedSpec", bound=ScalingSpec, contravariant=True)


@dataclass(frozen=True, slots=True)
class ScalingInput(Generic[Spec]):
    """All that a policy may consider.

    ``spec`` holds the policy's parameters and ``current`` is the service's desired count.
    ``observing_since``, ``now`` and ``starting`` are monotonic seconds. ``ready`` replicas serve;
    ``starting`` are the launch times of those that do not serve yet. What happened before
    ``observing_since`` is unknown to this daemon, so nothing may be scaled down until a whole
    window has been observed. ``declared`` is the count in the graph file, for policies that do not
    measure. ``roles`` are the component's: they decide which tokens measure its work (prompt tokens
    for prefill, output tokens for decode). ``engine_limit`` is the number of requests that the
    engine's command line lets a replica work on at once, if it does.
    """

    component: str
    spec: Spec
    current: int
    signals: tuple[Signal, ...]
    state: ScalingState
    observing_since: float
    now: float
    ready: int = 0
    starting: tuple[float, ...] = ()
    declared: int = 1
    roles: frozenset[Role] = frozenset()
    engine_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of a component as its policy measures it.

    ``load`` is the number of replicas that the arrivals at the graph keep busy, and
    ``request_seconds`` the time for which one request keeps one replica busy, in seconds. A replica
    works on ``slots`` requests at once.
    """

    load: float
    request_seconds: float
    slots: float = 1.0


@dataclass(frozen=True, slots=True)
class ScalingOutput:
    """The decision, and the state to remember for the next pass.

    ``workload`` is None where the policy does not measure it. ``demand`` is the one that was read,
    or None if the policy did not need one.
    """

    decision: Decision
    state: ScalingState
    workload: Workload | None = None
    demand: Demand | None = None


class Policy(Protocol[AcceptedSpec]):
    """A pure function from measurements to a desired count."""

    def __call__(self, inputs: ScalingInput[AcceptedSpec], /) -> ScalingOutput: ...
