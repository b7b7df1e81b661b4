"""The deployment limits that a service should have now.

They are set when a rollout begins, and stay while ECS replaces tasks, so that they do not change
whenever a slot becomes free or occupied. Three exceptions occur once per rollout: a canary is
promoted, a surge that no longer fits is replaced by one replica at a time, and limits that someone
else set in the meantime are restored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.capacity.surge import (
    free_capacity,
    one_at_a_time,
    surge_fits,
    why_no_surge,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.failure_reasons import lacks_capacity
from ecs_dynamo.planning.rollout.canary import Canary, begins_with_canary, one_more
from ecs_dynamo.planning.rollout.draining_instances import draining_limits
from ecs_dynamo.planning.rollout.protection import is_protected

PATIENCE_SECONDS = 120.0
"""A surge whose old side is kept waits this long for capacity: a rollout beside it that does not
keep its old side releases as many slots as it takes."""
MAX_COUNT = 100
"""Percentages of one replica among more than these differ from each other by rounding alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The ``effective`` limits from this pass on, and whether to ``change`` the service to them."""

    effective: DeploymentLimits
    change: bool
    note: str | None = None


def _fitting(state: ComponentState, snapshot: Snapshot) -> Limits:
    """Return limits with a surge if one more replica fits, else with one replica at a time."""
    limits = state.component.limits.widened(state.desired)
    # Tasks beyond the desired count are stopped first, and release their capacity: a rollback
    # must not cost a replica that serves.
    running = sum(t.desired_status == "RUNNING" for t in state.observed.tasks)
    free = free_capacity(snapshot)
    if running > state.desired or surge_fits(state, 1, free):
        return Limits(limits, change=True)
    gap = "; it does not serve in the meantime" if state.desired == 1 else ""
    return Limits(
        one_at_a_time(limits, state.desired),
        change=True,
        note=f"{state.name}: one more replica does not fit ({why_no_surge(state, free)}): "
        f"replicas are replaced one at a time{gap}",
    )


def _of_service(state: ComponentState) -> Limits:
    """Return the limits that the service has."""
    observed = state.service.settings.limits if state.service is not None else None
    return Limits(observed or state.component.limits, change=False)


def _are_ours(state: ComponentState, service: Service, snapshot: Snapshot) -> bool:
    """Return whether the service's limits are among those that this module sets for a rollout.

    The count may have changed since the rollout began, so those of other counts are accepted, too,
    as long as ECS can still replace a task with them.
    """
    observed, declared = service.settings.limits, state.component.limits
    if observed is None:
        return True  # ECS did not report them, so there is nothing to compare.
    counts = range(1, max(state.desired, service.desired, MAX_COUNT) + 1)
    candidates = [declared, without_old_side(state).effective]
    candidates += [declared.widened(n) for n in counts]
    candidates += [one_at_a_time(declared, n) for n in counts]
    if state.component.rollout.canary is not None:
        candidates += [one_more(declared, n) for n in counts]
    if (draining := draining_limits(state, snapshot)) is not None:
        candidates.append(draining)
    return observed in candidates and observed.can_replace(service.desired)


def _surge_is_stuck(state: ComponentState, snapshot: Snapshot) -> bool:
    """Return whether the surge finds no capacity, and none is to be expected."""
    service, primary, now = state.service, state.primary, snapshot.observed_at
    if service is None or primary is None or primary.running + primary.pending > 0:
        return False
    begun = primary.created_at if primary.created_at is not None else now
    is_kept = any(is_protected(t, now) for t in state.old_tasks)
    return lacks_capacity(service) and (not is_kept or now - begun > PATIENCE_SECONDS)


def without_old_side(state: ComponentState) -> Limits:
    """Return limits that stop all old replicas first, for replicas that serve no requests."""
    return Limits(
        replace(state.component.limits, minimum_healthy_percent=0, maximum_percent=100),
        change=True,
        note=f"{state.name}: there is no capacity for a surge, and the etcd of its old "
        "replicas is gone: they are stopped first",
    )


def widening_note(state: ComponentState) -> str | None:
    """Return the note that a rollout needs wider limits than declared; None if it does not."""
    limits, desired = state.component.limits, state.desired
    if limits.can_replace(desired) or not (state.needs_rollout or state.rollout_in_progress):
        return None
    wider = limits.widened(desired)
    return (
        f"{state.name}: {limits.minimum_healthy_percent}-{limits.maximum_percent} % of "
        f"{desired} replicas lets ECS neither stop nor start one: the maximum is "
        f"{wider.maximum_percent} % during the rollout, if one more fits"
    )


def limits_now(
    state: ComponentState, snapshot: Snapshot, *, begins: bool, moves: bool, canary: Canary | None
) -> Limits:
    """Return the limits of a component that begins a rollout, is in one, or in none.

    ``moves``: its endpoints move, which leaves no time for a canary.
    """
    service, declared = state.service, state.component.limits
    if service is None:
        return Limits(declared, change=False)
    if begins:
        fitting = _fitting(state, snapshot)
        if fitting.note is None and not moves and begins_with_canary(state):
            return Limits(one_more(declared, state.desired), change=True)
        return fitting
    if not state.rollout_in_progress:
        return Limits(draining_limits(state, snapshot) or declared, change=True)
    if not _are_ours(state, service, snapshot):
        # Someone else set them, and may have stopped the rollout by this.
        return _fitting(state, snapshot)
    own = _of_service(state)
    if canary is not None and not canary.is_baking and canary.record is not None:
        return _fitting(state, snapshot)
    if state.old_tasks and _surge_is_stuck(state, snapshot):
        fitting = _fitting(state, snapshot)
        if fitting.note is not None and service.settings.limits != fitting.effective:
            return fitting
    return own
