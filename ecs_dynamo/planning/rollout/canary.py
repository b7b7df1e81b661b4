"""The canary of a worker: one replica of a new revision first, the others once it has baked.

ECS's own canary and blue/green deployments shift the traffic of a load balancer or of Service
Connect, and workers have neither: they register in Dynamo's discovery. So this is a rolling
deployment with limits that leave room for just one new task, and its old tasks protected. Where
the cluster has no slot for one more, the canary takes the place of one old replica.

How far it has come is a tag on the service, so that a fresh daemon goes on where the last one
stopped: ``<revision> baking <UTC seconds>``, then ``<revision> promoted``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ecs_dynamo.model.graph import TAG_CANARY, TAG_ROLLED_BACK, Graph
from ecs_dynamo.model.plan import TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.rollout.protection import served_tasks

WAIT_FOR_WORK = 2.0
"""Bake times after which a canary that was given no request, while others were, is promoted all
the same: a router that knows better workers for each prompt is no failure of the canary."""


@dataclass(frozen=True, slots=True)
class Canary:
    """How far a canary is. ``baking``: it is not promoted yet."""

    baking: bool
    told: str = ""
    mark: TagService | None = None
    lost: bool = False
    """It was ready, and no replica of the new revision is any more."""


def one_more(limits: DeploymentLimits, replicas: int) -> DeploymentLimits:
    """Limits with which ECS starts one task beside all that run."""
    count = max(replicas, 1)
    return replace(
        limits,
        minimum_healthy_percent=100,
        maximum_percent=math.ceil((count + 1) * 100 / count),
    )


def begins_with_canary(state: ComponentState) -> bool:
    """The rollout that is about to begin, or has begun, has a canary.

    A first revision has nothing to be compared with, and going back is not to be tried out.
    """
    service = state.service
    return (
        state.component.rollout.canary is not None
        and state.component.is_worker
        and service is not None
        and state.desired > 0
        and state.last_good is not None
        and state.rollback_target is None
        and service.tags.get(TAG_ROLLED_BACK) != state.declared
    )


def _mark(state: ComponentState, value: str, why: str) -> TagService:
    return TagService(
        component=state.component.name,
        reason=why,
        purpose=ActionPurpose.RECORD_CANARY,
        cluster=state.component.cluster,
        service=state.component.service,
        set_tags={TAG_CANARY: value},
    )


def state_of(state: ComponentState) -> tuple[str, float]:
    """The phase that the tag tells of the service's revision, and since when it bakes."""
    service, current = state.service, state.current
    words = service.tags.get(TAG_CANARY, "").split() if service is not None else []
    if current is None or not words or words[0] != str(current.number):
        return "", 0.0
    since = float(words[2]) if len(words) == 3 and words[2].isdecimal() else 0.0
    return words[1] if len(words) > 1 else "", since


def canary(graph: Graph, state: ComponentState, snapshot: Snapshot, now: float) -> Canary | None:
    """How the canary of the rollout under way stands; None where there is none."""
    spec, current = state.component.rollout.canary, state.current
    if (
        spec is None
        or current is None
        or state.needs_rollout
        or not state.old_tasks
        or current.number == state.last_good
        or not begins_with_canary(state)
    ):
        return None
    phase, since = state_of(state)
    if phase == "promoted":
        return Canary(baking=False)
    ready = ready_tasks(graph, state.component, snapshot, state.new_tasks)
    seen = not isinstance(snapshot.registrations, Unknown)
    if not ready or not seen:
        told = "the canary is not ready yet" if seen else "discovery could not be read"
        return Canary(True, told, lost=phase == "baking" and seen)
    number = current.number
    if phase != "baking":
        mark = _mark(state, f"{number} baking {int(now)}", "the canary is ready")
        return Canary(True, f"the canary bakes for {spec.bake_seconds:.0f} s", mark)
    left = spec.bake_seconds - (now - since)
    if left > 0:
        return Canary(True, f"the canary bakes for {left:.0f} s more")
    served = served_tasks(graph, state, snapshot)
    own = {t.arn for t in state.new_tasks}
    idle = served is not None and bool(served) and not served & own
    if idle and now - since < WAIT_FOR_WORK * spec.bake_seconds:
        return Canary(True, "the canary has had no request yet")
    how = "it has served" if served and served & own else "it was ready all the time"
    return Canary(False, "", _mark(state, f"{number} promoted", f"the canary is good: {how}"))
