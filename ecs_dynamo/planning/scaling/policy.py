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
class Demand:
    """The current demand on a component; None where no fresh signal reports it.

    ``queue`` counts requests that are not done, ``arrival_rate`` is requests/s, and ``replicas`` is
    a count that another controller decided (Dynamo's planner). The other measurements are those of
    `SignalKind`: requests (``waiting``, ``upstream``), requests/s (``rejection_rate``), tokens/s
    (``prompt_arrival_rate``, ``prompt_rate``, ``output_rate``), seconds (``itl_seconds``)
    and shares (``late_share``, ``cached_share``, ``kv_usage``). ``why_stale`` is set where every
    signal is stale. ``incomplete`` is set where a source that has reported before is stale now, or
    has reported only in part (``partial``): the demand may then be larger than what is known.
    """

    queue: float | None
    arrival_rate: float | None
    replicas: float | None
    unit: str = "requests"
    why_stale: str | None = None
    incomplete: bool = False
    partial: bool = False
    waiting: float | None = None
    upstream: float | None = None
    rejection_rate: float | None = None
    prompt_arrival_rate: float | None = None
    prompt_rate: float | None = None
    output_rate: float | None = None
    itl_seconds: float | None = None
    late_share: float | None = None
    cached_share: float | None = None
    kv_usage: float | None = None

    def not_started(self, slots: float) -> float:
        """Return the requests that wait here, as reported or as those beyond ``slots``."""
        if self.waiting is not None:
            return self.waiting
        return max(0.0, (self.queue or 0.0) - slots)


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
