"""Claims of components on a shared limit, and what arbitration grants them."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_dynamo.model.memory.scaling import SharedLimitState
from ecs_dynamo.model.spec.scaling import ScalingSpec, SloScaling
from ecs_dynamo.planning.scaling.arbitration.missed import observe_missed, waits_too_long
from ecs_dynamo.planning.scaling.cold_start import ASSUMED_SECONDS, expected_cold_start
from ecs_dynamo.planning.scaling.demand import read_demand
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput, ScalingOutput, Workload

DEFAULT_TARGET = 2.0
"""Seconds that a request may wait, for policies that have no setting for it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A component's claim on a shared limit.

    ``current`` is the count that is set now, ``recommended`` the one that its policy would set
    (within its bounds and steps), and ``min`` its floor. ``max_step_down`` is the largest number of
    replicas that it may lose at once.

    ``load`` is the number of replicas that the arrivals keep busy, and ``backlog`` the work that
    waits for it or will reach it, in seconds of one replica. Without a known ``load``, the
    recommendation is taken for it. ``missed`` is the share of recent requests that missed their
    target, from 0 to 1.

    ``cold_start`` is in seconds. ``gained_at`` and ``lost_at`` are the times, in monotonic seconds,
    at which arbitration last gave it a replica of another component or took one from it.
    """

    component: str
    current: int
    recommended: int
    min: int
    max_step_down: int = 1
    load: float | None = None
    backlog: float = 0.0
    missed: float = 0.0
    cold_start: float = ASSUMED_SECONDS
    gained_at: float | None = None
    lost_at: float | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The count that a component gets. ``gained_at`` and ``lost_at`` are as in `Claim`."""

    count: int
    gained_at: float | None = None
    lost_at: float | None = None


def observe(
    inputs: ScalingInput[ScalingSpec], output: ScalingOutput, state: SharedLimitState
) -> SharedLimitState:
    """Return ``state`` with the share of missed targets of one more pass.

    A component misses the target while a request that arrives now would wait longer for it than the
    target. A reported share of late first tokens says how many requests miss it, but it is that of
    the whole graph: it counts for components with such a wait, and for those whose wait is not
    known. Requests that are still upstream count as waiting: behind a congested component, another
    one misses nothing only because nothing reaches it.
    """
    demand = output.demand or read_demand(inputs)
    elapsed = inputs.now - state.at if state.at is not None else 0.0
    requests = (demand.arrival_rate or 0.0) * max(elapsed, 0.0)
    share = demand.late_share
    if output.workload is not None and demand.why_stale is None:
        late = waits_too_long(
            _pending(inputs, demand, output.workload),
            output.workload.request_seconds,
            float(inputs.ready),
            _target_seconds(inputs.spec),
        )
        share = (1.0 if share is None else share) if late else 0.0
    return observe_missed(state, share, requests, inputs.now)


def claim_of(
    inputs: ScalingInput[ScalingSpec],
    output: ScalingOutput,
    state: SharedLimitState,
    recommended: int,
) -> Claim:
    """Return the claim to ``recommended`` replicas, from what the component's policy measured."""
    spec, workload = inputs.spec, output.workload
    demand = output.demand or read_demand(inputs)
    backlog = 0.0
    if workload is not None:
        backlog = _pending(inputs, demand, workload) * workload.request_seconds
    return Claim(
        component=inputs.component,
        current=inputs.current,
        recommended=recommended,
        min=spec.min,
        max_step_down=spec.step_down(inputs.current),
        load=workload.load if workload is not None else None,
        backlog=backlog,
        missed=state.missed_share,
        cold_start=expected_cold_start(output.state.cold_starts, spec),
        gained_at=state.gained_at,
        lost_at=state.lost_at,
    )


def _pending(inputs: ScalingInput[ScalingSpec], demand: Demand, workload: Workload) -> float:
    """Return the requests that wait for a replica of the component, here or upstream."""
    return demand.not_started(inputs.ready * workload.slots) + (demand.upstream or 0.0)


def _target_seconds(spec: ScalingSpec) -> float:
    return spec.target_queue_seconds if isinstance(spec, SloScaling) else DEFAULT_TARGET
