"""The deployment limits that a service should have now.

They are set when a rollout begins and left alone while ECS replaces tasks, so that they do not flap
as slots come and go, but for three steps that each happen once: a canary is promoted, a surge that
no longer fits gives way to replacing one at a time, and limits that someone else set
meanwhile are restored.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.planning.capacity.surge import (
    free_rooms,
    one_at_a_time,
    surge_fits,
    why_no_surge,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.service_settings import same_limits
from ecs_dynamo.planning.observed.failure_reasons import lacks_place
from ecs_dynamo.planning.observed.lookup import known_tasks
from ecs_dynamo.planning.rollout.canary import (
    Canary,
    begins_with_canary,
    one_more,
)
from ecs_dynamo.planning.rollout.draining_instances import draining_limits
from ecs_dynamo.planning.rollout.protection import is_protected

PATIENCE_SECONDS = 120.0
"""For so long a surge whose old side is kept waits for a place: what rolls beside it, and is not
kept, gives back as many slots as it takes."""


MAX_COUNT = 100
"""Percentages of one replica among more than these differ from each other by rounding alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``force``: the limits that hold from this pass on. ``change``: whether to set them."""

    force: RolloutSpec
    change: bool
    note: str | None = None


def _fitting(state: ComponentState, snapshot: Snapshot) -> Limits:
    spec = state.component.rollout.widened(state.desired)
    # Tasks beyond the desired count are stopped first, and give their places back: a revision that
    # is taken back must not cost a replica that serves.
    taken = sum(t.desired_status == "RUNNING" for t in known_tasks(state.observed))
    free = free_rooms(snapshot)
    if taken > state.desired or surge_fits(state, 1, free):
        return Limits(spec, True)
    gap = "; it does not serve meanwhile" if state.desired == 1 else ""
    return Limits(
        one_at_a_time(spec, state.desired),
        True,
        f"{state.component.name}: one more replica does not fit ({why_no_surge(state, free)}): "
        f"replicas are replaced one at a time{gap}",
    )


def _of_service(state: ComponentState) -> Limits:
    service, spec = state.service, state.component.rollout
    least = service.minimum_healthy_percent if service is not None else None
    most = service.maximum_percent if service is not None else None
    return Limits(
        spec.model_copy(
            update={
                "minimum_healthy_percent": spec.minimum_healthy_percent if least is None else least,
                "maximum_percent": spec.maximum_percent if most is None else most,
            }
        ),
        False,
    )


def _is_ours(state: ComponentState, service: Service, snapshot: Snapshot) -> bool:
    """Whether the limits are among those that this module sets for a rollout, for any count.

    The count may have changed since the rollout began, so those of other counts are taken too,
    as long as ECS can still replace a task with them.
    """
    spec = state.component.rollout
    least, most = service.minimum_healthy_percent, service.maximum_percent
    if least is None or most is None:
        return True  # Not told: nothing to compare with.
    counts = range(1, max(state.desired, service.desired, MAX_COUNT) + 1)
    candidates = [spec, without_old_side(state).force, *(spec.widened(n) for n in counts)]
    candidates += [one_at_a_time(spec, n) for n in counts]
    if spec.canary is not None:
        candidates += [one_more(spec, n) for n in counts]
    if (leaving := draining_limits(state, snapshot)) is not None:
        candidates.append(leaving)
    if not any(same_limits(service, one) for one in candidates):
        return False
    desired = service.desired
    frees, adds = -(-desired * least // 100) < desired, desired * most // 100 > desired
    return frees or adds or desired == 0


def _stuck(state: ComponentState, snapshot: Snapshot) -> bool:
    """The surge finds no place, and none is to be expected."""
    service, primary, now = state.service, state.primary, snapshot.observed_at
    if service is None or primary is None or primary.running + primary.pending > 0:
        return False
    begun = primary.created_at if primary.created_at is not None else now
    kept = any(is_protected(t, now) for t in state.old_tasks)
    return lacks_place(service) and (not kept or now - begun > PATIENCE_SECONDS)


def without_old_side(state: ComponentState) -> Limits:
    """Old replicas that serve nobody go first, all of them, where no surge finds a place."""
    return Limits(
        state.component.rollout.model_copy(
            update={"minimum_healthy_percent": 0, "maximum_percent": 100}
        ),
        True,
        f"{state.component.name}: no place is free for a surge, and the etcd of its old replicas "
        "is gone: they go first",
    )


def widening_note(state: ComponentState) -> str | None:
    """That a rollout needs wider limits than the declared ones; None where it does not."""
    spec, desired = state.component.rollout, state.desired
    if spec.can_replace(desired) or not (state.needs_rollout or state.rollout_in_progress):
        return None
    wider = spec.widened(desired)
    return (
        f"{state.component.name}: {spec.minimum_healthy_percent}-{spec.maximum_percent} % of "
        f"{desired} leave ECS no replica to stop and none to start: the maximum is "
        f"{wider.maximum_percent} % while it rolls, if one more fits"
    )


def limits_now(
    state: ComponentState, snapshot: Snapshot, *, begins: bool, moves: bool, canary: Canary | None
) -> Limits:
    """Limits for a component that begins to roll, rolls, or is at rest.

    ``moves``: its endpoints do, which leaves no time for a canary.
    """
    service, spec = state.service, state.component.rollout
    if service is None:
        return Limits(spec, False)
    if begins:
        found = _fitting(state, snapshot)
        if found.note is None and not moves and begins_with_canary(state):
            return Limits(one_more(spec, state.desired), True)
        return found
    if not state.rollout_in_progress:
        return Limits(draining_limits(state, snapshot) or spec, True)
    if not _is_ours(state, service, snapshot):
        return _fitting(state, snapshot)  # Set by someone else, who may have stopped the rollout.
    own = _of_service(state)
    if canary is not None and not canary.baking and canary.mark is not None:
        return _fitting(state, snapshot)
    if state.old_tasks and _stuck(state, snapshot):
        found = _fitting(state, snapshot)
        if found.note is not None and not same_limits(service, found.force):
            return found
    return own
