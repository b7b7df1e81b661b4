"""The canary of a worker: one replica of a new revision first, the others once it has baked.

ECS's own canary and blue/green deployments shift the traffic of a load balancer or of Service
Connect, and workers have neither: they register in Dynamo's discovery. A canary is therefore a
rolling deployment whose limits leave room for one new task only, with its old tasks protected. If
the cluster has no slot for one more task, the canary takes the slot of one old replica.

Its progress is a tag on the service, so that a new daemon continues where the last one stopped:
``<revision> baking <UTC seconds>``, then ``<revision> promoted``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_dynamo.model.graph import TAG_CANARY, TAG_ROLLED_BACK
from ecs_dynamo.model.plan import TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.rollout.service_tags import tag_service

MAX_BAKE_TIMES_WITHOUT_WORK = 2.0
"""Bake times after which a canary that received no request, while others did, is promoted anyway:
a router that prefers other workers for each prompt is not a failure of the canary."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The progress of a canary, with the tag to set, if any, as ``record``."""

    is_baking: bool
    message: str = ""
    record: TagService | None = None
    is_lost: bool = False
    """It was ready, and no replica of the new revision is ready any longer."""


def one_more(limits: DeploymentLimits, replicas: int) -> DeploymentLimits:
    """Return limits with which ECS starts one task besides all that run."""
    full = replace(limits, minimum_healthy_percent=100, maximum_percent=100)
    return full.widened(max(replicas, 1))


def begins_with_canary(state: ComponentState) -> bool:
    """Return whether the rollout that begins or is in progress has a canary.

    A first revision has nothing to be compared with, and a rollback must not be delayed.
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


def _record(state: ComponentState, value: str, reason: str) -> TagService:
    return tag_service(state, {TAG_CANARY: value}, ActionPurpose.RECORD_CANARY, reason)


def recorded_phase(state: ComponentState) -> tuple[str, float]:
    """Return the phase that the tag records for the current revision, and since when it bakes."""
    service, current = state.service, state.current
    words = service.tags.get(TAG_CANARY, "").split() if service is not None else []
    if current is None or not words or words[0] != str(current.number):
        return "", 0.0
    since = float(words[2]) if len(words) == 3 and words[2].isdecimal() else 0.0
    return words[1] if len(words) > 1 else "", since


def assess_canary(state: ComponentState, snapshot: Snapshot, wall: float) -> Canary | None:
    """Return the progress of the canary of the rollout in progress; None if there is none.

    ``wall`` is the time in UTC seconds, as the tag records it.
    """
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
    phase, since = recorded_phase(state)
    if phase == "promoted":
        return Canary(is_baking=False)
    is_known = not isinstance(snapshot.registrations, Unknown)
    if not state.ready_new_tasks or not is_known:
        message = "the canary is not ready yet" if is_known else "discovery could not be read"
        return Canary(is_baking=True, message=message, is_lost=phase == "baking" and is_known)
    number = current.number
    if phase != "baking":
        record = _record(state, f"{number} baking {int(wall)}", "the canary is ready")
        return Canary(
            is_baking=True, message=f"the canary bakes for {spec.bake_seconds:.0f} s", record=record
        )
    left = spec.bake_seconds - (wall - since)
    if left > 0:
        return Canary(is_baking=True, message=f"the canary bakes for {left:.0f} s more")
    served, own = state.observed.served, {t.arn for t in state.new_tasks}
    is_idle = bool(served) and served is not None and not served & own
    if is_idle and wall - since < MAX_BAKE_TIMES_WITHOUT_WORK * spec.bake_seconds:
        return Canary(is_baking=True, message="the canary has had no request yet")
    how = "it has served" if served and served & own else "it was ready all the time"
    record = _record(state, f"{number} promoted", f"the canary is good: {how}")
    return Canary(is_baking=False, record=record)
