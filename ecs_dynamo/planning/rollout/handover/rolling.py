"""The handover of one component that rolls out at unchanged endpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.model.plan import ProtectTasks, TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.rollout.handover.drain_record import (
    drain_record,
    draining_since,
    first_below,
    keep_minutes,
    renew_below,
)
from ecs_dynamo.planning.rollout.handover.freshness import fresh_tasks
from ecs_dynamo.planning.rollout.protection import (
    acceptable,
    drain_minutes,
    is_protected,
    minutes_left,
    protect,
    protectable,
)


@dataclass(frozen=True, slots=True)
class _OldSide:
    """The old tasks, divided by whether they are still needed.

    ``needed``: they serve until new replicas have stayed ready. ``working``: replaced and busy.
    ``overdue``: those of ``working`` whose drain time has passed. ``since``: ARN -> since when the
    task drains.
    """

    needed: tuple[Task, ...]
    replaced: tuple[Task, ...]
    working: tuple[Task, ...]
    overdue: tuple[Task, ...]
    since: Mapping[str, float]


def hand_over(
    context: PlanContext,
    state: ComponentState,
    limits: DeploymentLimits,
    *,
    begins: bool,
    baking: bool = False,
) -> list[ProtectTasks | TagService]:
    """Return the protections to set and release before (``begins``) and during a rollout.

    ``limits`` are those in force from now on. With ``baking`` the new replicas do not count yet.
    """
    observed = state.observed
    # Tasks on draining instances have to go at once; `draining_instances` protects them.
    side = observed.running if begins else state.old_tasks
    old = [t for t in side if t.arn not in observed.draining]
    if not old:
        return []
    fresh = 0 if begins or baking else len(fresh_tasks(context, state))
    since = {} if begins else draining_since(state)
    sides = _divide(context, state, old, limits.must_stay(state.desired) - fresh, since)
    return _begin(context, state, sides) if begins else _continue(context, state, sides)


def _divide(
    context: PlanContext,
    state: ComponentState,
    old: Sequence[Task],
    needed_count: int,
    since: Mapping[str, float],
) -> _OldSide:
    """Rank the old tasks (see the package's docstring) and divide them.

    ``needed_count``: how many old replicas must still serve. ``since``: which tasks drain already.
    """
    readiness, busy = state.observed.readiness, state.observed.busy or frozenset()
    serving = sum(t.arn in readiness.may_serve for t in old)
    count = max(0, min(needed_count, serving))
    if state.service is not None:
        # ECS protects no more tasks than the current desired count; replicas that a scale-out adds
        # are protected once the count has changed.
        count = min(count, state.service.desired)
    ranked = sorted(
        old,
        key=lambda t: (
            t.arn not in readiness.ready,
            t.arn not in readiness.may_serve,
            t.arn not in busy,
            t.arn in since,
            t.arn,
        ),
    )
    now, drain = context.snapshot.observed_at, context.graph.drain_seconds(state.component)
    replaced = ranked[count:]
    working = [t for t in replaced if t.arn in busy and drain > 0]
    overdue = [t for t in working if t.arn in since and now - since[t.arn] >= drain]
    return _OldSide(tuple(ranked[:count]), tuple(replaced), tuple(working), tuple(overdue), since)


@dataclass(frozen=True, slots=True)
class _Release:
    """Old tasks to release, and what this changes.

    ``cut``: how many of them still work. ``working``: replaced tasks that may finish their work.
    ``due``: needed tasks whose protection must be set or renewed. ``limit``: how many more tasks
    can be protected then.
    """

    tasks: tuple[Task, ...]
    cut: int
    working: tuple[Task, ...]
    due: tuple[Task, ...]
    limit: int


def _release(context: PlanContext, state: ComponentState, sides: _OldSide) -> _Release:
    """Choose the old tasks to release: idle and overdue ones, and others where ECS demands it.

    ECS protects as many tasks as the desired count. If needed tasks could not be protected
    therefore, replaced tasks that still work are released, those first that drain for longest.
    """
    now = context.snapshot.observed_at
    idle = [
        t
        for t in sides.replaced
        if is_protected(t, now) and (t not in sides.working or t in sides.overdue)
    ]
    due = _ending(sides.needed, renew_below(context.graph, state.component), now)
    limit = protectable(state, now, {t.arn for t in idle})
    lacking = sum(not is_protected(t, now) for t in due) - limit if due else 0
    # The record of the tags counts here even when a rollout begins: it may be the next of several.
    recorded = draining_since(state)
    in_time = [t for t in sides.working if t not in sides.overdue and is_protected(t, now)]
    in_time = sorted(in_time, key=lambda t: (recorded.get(t.arn, now), t.arn))
    given_up = in_time[: max(0, lacking)]
    return _Release(
        tasks=(*idle, *given_up),
        cut=sum(t in sides.overdue for t in idle) + len(given_up),
        working=tuple(t for t in sides.working if t not in given_up),
        due=tuple(due),
        limit=limit + len(given_up),
    )


def _release_actions(state: ComponentState, release: _Release) -> list[ProtectTasks | TagService]:
    if not release.tasks:
        return []
    cut = release.cut
    why = f"{cut} of them still work, but have had their time" if cut else "idle"
    reason = f"{len(release.tasks)} tasks are replaced, {why}"
    return [protect(state, release.tasks, None, ActionPurpose.RELEASE_REPLACED, reason)]


def _begin(
    context: PlanContext, state: ComponentState, sides: _OldSide
) -> list[ProtectTasks | TagService]:
    """Protect the old side before its rollout begins.

    Needed tasks are requested even beyond what ECS accepts: if it refuses their protection, the
    rollout must not begin. Others are protected as far as possible.
    """
    now, release = context.snapshot.observed_at, _release(context, state, sides)
    unprotected = sum(not is_protected(t, now) for t in release.due)
    others = [t for t in (*sides.needed, *release.working) if t not in release.due]
    others = _ending(others, first_below(context.graph, state.component), now)
    kept = [*release.due, *acceptable(others, release.limit - unprotected, now)]
    return [*_release_actions(state, release), *keep_actions(context, state, kept)]


def _continue(
    context: PlanContext, state: ComponentState, sides: _OldSide
) -> list[ProtectTasks | TagService]:
    """Renew and release protections during the rollout, and record which tasks drain."""
    graph, now = context.graph, context.snapshot.observed_at
    release = _release(context, state, sides)
    kept = acceptable(release.due, release.limit, now)
    actions = [*_release_actions(state, release), *keep_actions(context, state, kept)]
    since, needed = sides.since, {t.arn for t in sides.needed}
    starting = [t for t in release.working if t.arn not in since and is_protected(t, now)]
    staying = {arn: at for arn, at in since.items() if arn not in needed}
    record, recorded = drain_record(state, staying, starting, math.ceil(now))
    ending = [t for t in starting if t.arn in recorded]
    ending = _ending(ending, graph.drain_seconds(state.component) / 60.0, now)
    if extended := acceptable(ending, release.limit, now):
        reason = f"{len(extended)} tasks still work and may finish within the drain time"
        minutes = drain_minutes(graph, state.component)
        actions.append(protect(state, extended, minutes, ActionPurpose.FINISH_REQUESTS, reason))
    return [*actions, record] if record is not None else actions


def keep_actions(
    context: PlanContext, state: ComponentState, kept: Sequence[Task]
) -> list[ProtectTasks]:
    """Return the protection of old tasks until the new revision is ready; none without tasks."""
    if not kept:
        return []
    minutes = keep_minutes(context.graph, state.component)
    reason = f"keep {len(kept)} tasks serving until the new revision is ready"
    return [protect(state, kept, minutes, ActionPurpose.KEEP_OLD_SIDE, reason)]


def _ending(tasks: Sequence[Task], minutes: float, wall: float) -> list[Task]:
    """Return the tasks with less than ``minutes`` of protection left."""
    return [t for t in tasks if minutes_left(t, wall) < minutes]
