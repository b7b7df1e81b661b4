"""The deployment limits that a service should have now.

They are set when a rollout begins and left alone while ECS replaces tasks, so that they do not flap
as slots come and go, but for three steps that each happen once: a canary is promoted, a surge that
no longer fits gives way to replacing one at a time, and limits that someone else set
meanwhile are restored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.capacity.surge import (
    free_rooms,
    one_at_a_time,
    surge_fits,
    why_no_surge,
)
from ecs_dynamo.planning.desired.component import ComponentState
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

    force: DeploymentLimits
    change: bool
    note: str | None = None


def _fitting(state: ComponentState, snapshot: Snapshot) -> Limits:
    limits = state.component.limits.widened(state.desired)
    # Tasks beyond the desired count are stopped first, and give their places back: a revision that
    # is taken back must not cost a replica that serves.
    taken = sum(t.desired_status == "RUNNING" for t in known_tasks(state.observed))
    free = free_rooms(snapshot)
    if taken > state.desired or surge_fits(state, 1, free):
        return Limits(limits, True)
    gap = "; it does not serve meanwhile" if state.desired == 1 else ""
    return Limits(
        one_at_a_time(limits, state.desired),
        True,
        f"{state.component.name}: one more replica does not fit ({why_no_surge(state, free)}): "
        f"replicas are replaced one at a time{gap}",
    )


def _of_service(state: ComponentState) -> Limits:
    observed = state.service.settings.limits if state.service is not None else None
    return Limits(observed or state.component.limits, False)


def _is_ours(state: ComponentState, service: Service, snapshot: Snapshot) -> bool:
    """Whether the limits are among those that this module sets for a rollout, for any count.

    The count may have changed since the rollout began, so those of other counts are taken too,
    as long as ECS can still replace a task with them.
    """
    observed, declared = service.settings.limits, state.component.limits
    if observed is None:
        return True  # Not reported: there is nothing to compare with.
    counts = range(1, max(state.desired, service.desired, MAX_COUNT) + 1)
    candidates = [declared, without_old_side(state).force]
    candidates += [declared.widened(n) for n in counts]
    candidates += [one_at_a_time(declared, n) for n in counts]
    if state.component.rollout.canary is not None:
        candidates += [one_more(declared, n) for n in counts]
    if (leaving := draining_limits(state, snapshot)) is not None:
        candidates.append(leaving)
    return observed in candidates and observed.can_replace(service.desired)


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
        replace(state.component.limits, minimum_healthy_percent=0, maximum_percent=100),
        True,
        f"{state.component.name}: no place is free for a surge, and the etcd of its old replicas "
        "is gone: they go first",
    )


def widening_note(state: ComponentState) -> str | None:
    """That a rollout needs wider limits than the declared ones; None where it does not."""
    limits, desired = state.component.limits, state.desired
    if limits.can_replace(desired) or not (state.needs_rollout or state.rollout_in_progress):
        return None
    wider = limits.widened(desired)
    return (
        f"{state.component.name}: {limits.minimum_healthy_percent}-{limits.maximum_percent} % of "
        f"{desired} leave ECS no replica to stop and none to start: the maximum is "
        f"{wider.maximum_percent} % while it rolls, if one more fits"
    )


def limits_now(
    state: ComponentState, snapshot: Snapshot, *, begins: bool, moves: bool, canary: Canary | None
) -> Limits:
    """Limits for a component that begins to roll, rolls, or is at rest.

    ``moves``: its endpoints do, which leaves no time for a canary.
    """
    service, declared = state.service, state.component.limits
    if service is None:
        return Limits(declared, False)
    if begins:
        found = _fitting(state, snapshot)
        if found.note is None and not moves and begins_with_canary(state):
            return Limits(one_more(declared, state.desired), True)
        return found
    if not state.rollout_in_progress:
        return Limits(draining_limits(state, snapshot) or declared, True)
    if not _is_ours(state, service, snapshot):
        return _fitting(state, snapshot)  # Set by someone else, who may have stopped the rollout.
    own = _of_service(state)
    if canary is not None and not canary.baking and canary.mark is not None:
        return _fitting(state, snapshot)
    if state.old_tasks and _stuck(state, snapshot):
        found = _fitting(state, snapshot)
        if found.note is not None and service.settings.limits != found.force:
            return found
    return own
