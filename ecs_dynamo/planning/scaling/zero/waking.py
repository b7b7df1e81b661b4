"""How many replicas to start for demand that met none.

Dynamo refuses requests that no worker can serve: nothing queues, and clients try again. The rate of
refused requests therefore grows while replicas start although the demand does not. The count is the
smaller of two: what the lowest rate since the first refused request needs, and what the component
needed when it last served. If neither is known, one replica starts. A queue in front of the
frontends (a gateway's, or a stream's) does not grow by retries, so a policy's own count for it is
used as it is.
"""

from __future__ import annotations

import math

from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.memory.zero import Waking
from ecs_dynamo.model.spec.scaling import ScalingSpec, SloScaling
from ecs_dynamo.planning.scaling.estimation.concurrency import planning_concurrency
from ecs_dynamo.planning.scaling.load.work import seconds_per_request
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput

MAX_PASS_SECONDS = 60.0
"""Longest time that one measured rate stands for."""


def is_refused(inputs: ScalingInput[ScalingSpec], demand: Demand) -> bool:
    """Return whether all demand is refused, as this role or another one of the graph is missing."""
    if demand.queue or demand.replicas:
        return False
    return bool(demand.rejection_rate) and (inputs.ready == 0 or not demand.arrival_rate)


def observe_refused(inputs: ScalingInput[ScalingSpec], demand: Demand) -> Waking | None:
    """Return what is known about the demand that met no replica; None once it is served."""
    waking, now = inputs.state.zero.waking, inputs.now
    if not is_refused(inputs, demand):
        # Between two tries of a client nothing is refused, so only a ready replica ends this.
        return waking if inputs.ready == 0 and inputs.current > 0 else None
    rate = demand.rejection_rate or 0.0
    if waking is None:
        return Waking(since=now, at=now, passes=1, rate=rate, refused=rate)
    passed = min(max(0.0, now - waking.at), MAX_PASS_SECONDS)
    # The first pass has observed only a part of its interval.
    lowest = rate if waking.passes == 1 else min(rate, waking.rate)
    return Waking(waking.since, now, waking.passes + 1, lowest, waking.refused + rate * passed)


def count_to_start(inputs: ScalingInput[ScalingSpec], state: ScalingState, waking: Waking) -> int:
    """Return the replicas that the refused demand needs: at least one."""
    spec, needed = inputs.spec, 1
    if isinstance(spec, SloScaling):
        slots = planning_concurrency(state.concurrency, spec, inputs.roles)
        busy_slots = waking.rate * seconds_per_request(state.work)
        needed = math.ceil(busy_slots / slots - 1e-9)
    return max(1, min(needed, inputs.state.zero.busiest))
