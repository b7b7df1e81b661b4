"""Frontends, workers and planners: created, rolled and scaled on the endpoints of now."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.endpoints import (
    endpoints_complete,
    injected_endpoints,
)
from ecs_dynamo.planning.observed.reachability import infrastructure_probes
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.rollout import (
    deployments,
    handover,
)
from ecs_dynamo.planning.rollout import (
    order as rollout,
)
from ecs_dynamo.planning.rollout.canary import canary
from ecs_dynamo.planning.rollout.deployment_limits import (
    limits_now,
    without_old_side,
)
from ecs_dynamo.planning.services.infrastructure import (
    hold_back,
    leave,
)
from ecs_dynamo.planning.services.service_actions import (
    create_service,
    update_service,
)

DETAILS = 3
"""How many failed probes a wait quotes."""


def plan_dependants(draft: PlanBuilder, context: PlanContext) -> tuple[str, ...]:
    """Create, roll and scale what depends on the endpoints; returns what has stale endpoints."""
    graph, snapshot, endpoints = context.graph, context.snapshot, context.endpoints
    dependants = context.dependants
    complete = endpoints_complete(graph, endpoints)
    if not complete:
        _wait_for_endpoints(draft, context)
    moved = rollout.moved(injected_endpoints(graph, snapshot), endpoints, dependants)
    # An infrastructure service that rolls will move the endpoints next: a dependant that rolled
    # now would roll twice.
    unsettled = [
        w.component.name
        for w in context.infrastructure
        # A cluster of etcd serves without one of its members.
        if w.component.member is None
        and (
            w.needs_rollout
            or (
                w.service is not None and not ready_tasks(graph, w.component, snapshot, w.new_tasks)
            )
        )
    ]
    allowed: frozenset[str] = frozenset()
    first: str | None = None
    if complete and not unsettled:
        if moved:
            allowed = frozenset(w.component.name for w in dependants if w.needs_rollout)
        elif not context.doubts.all:  # Else the order is not known.
            candidates = [w for w in dependants if w.component.name not in context.failures]
            allowed, first = rollout.next_in_order(graph, candidates, snapshot)
            if context.failures:
                allowed, first = frozenset(), None
            allowed |= _in_the_way_of_a_move(context, candidates)
    # What missed its deadline goes back at once, whatever else is under way.
    allowed |= {w.component.name for w in dependants if w.rollback_target is not None}
    allowed -= context.doubts.all.keys()
    for one in dependants:
        late = deployments.why_deployment_waits(one) if one.component.name in allowed else None
        if late is not None:
            allowed -= {one.component.name}
            draft.wait(one.component.name, late)
            draft.actions.extend(deployments.let_oldest_end(context, one))
    if moved and allowed:
        rolling = [w for w in dependants if w.component.name in allowed]
        protections, notes = handover.keep_old_side(context, rolling)
        draft.actions.extend(protections)
        draft.notes.extend(notes)
    for one in sorted(dependants, key=lambda w: (rollout.rollout_rank(w), w.component.name)):
        name = one.component.name
        if one.service is None:
            if complete and not unsettled:
                create_service(draft, graph, one, context.settings(one))
            elif complete:
                draft.wait(name, f"waiting for {', '.join(unsettled)} to settle")
            continue
        why = one.rollout_reason
        if moved:
            why = f"endpoints moved to {endpoints.etcd} {endpoints.nats or ''}".rstrip()
        elif one.rollback_target is not None:
            why = context.reasons[name]
        hold_back(draft, context, one)
        leave(draft, context, one)
        _roll(draft, context, one, name in allowed, bool(moved), why)
        if one.needs_rollout and name in allowed:
            draft.wait(name, why)
        elif one.needs_rollout and name not in context.failures:
            unknown = (
                f"{', '.join(sorted(context.doubts.all))} is known" if context.doubts.all else ""
            )
            after = first or ", ".join(unsettled) or unknown or "the failed rollout"
            draft.wait(name, f"rolls after {after}")
    return moved


def _in_the_way_of_a_move(
    context: PlanContext, candidates: Iterable[ComponentState]
) -> frozenset[str]:
    """Components whose revision for the moved endpoints does not become ready, and that have a
    newer declaration.

    The others keep their old side, and so their place in the order, until these have followed. In
    that order, these would never have their turn.
    """
    return frozenset(
        w.component.name
        for w in candidates
        if w.needs_rollout
        and handover.relocates(w)
        and not ready_tasks(context.graph, w.component, context.snapshot, w.new_tasks)
    )


def _wait_for_endpoints(draft: PlanBuilder, context: PlanContext) -> None:
    missing = [
        name
        for name, value, needed in (
            ("etcd", context.endpoints.etcd, True),
            ("NATS", context.endpoints.nats, context.graph.has_nats),
        )
        if needed and value is None
    ]
    failed = sorted({p.detail for p in infrastructure_probes(context.snapshot) if not p.healthy})
    why = f" ({'; '.join(failed[:DETAILS])})" if failed else ""
    for one in context.dependants:
        if one.service is None:
            draft.wait(one.component.name, f"waiting for a ready {' and '.join(missing)}{why}")


def _roll(
    draft: PlanBuilder,
    context: PlanContext,
    state: ComponentState,
    may_roll: bool,
    moves: bool,
    why: str,
) -> None:
    """Begin a rollout, lead it on, or set what else differs."""
    graph, snapshot = context.graph, context.snapshot
    begins = state.needs_rollout and may_roll
    step = None if begins or moves else canary(graph, state, snapshot, context.now.wall)
    limits = limits_now(state, snapshot, begins=begins, moves=moves, canary=step)
    if limits.note is not None and limits.change and deployments.lost_etcd(context, state):
        limits = without_old_side(state)
    if limits.note is not None:
        draft.notes.append(limits.note)
    leads = not moves and not handover.relocates(state)
    if leads and (begins or state.rollout_in_progress):
        draft.actions.extend(
            handover.hand_over(
                context,
                state,
                limits.force,
                begins=begins,
                baking=step is not None and step.baking,
            )
        )
    if step is not None and step.mark is not None:
        draft.actions.append(step.mark)
    if step is not None and step.told:
        draft.wait(state.component.name, step.told)
    force = limits.force if limits.change else None
    update_service(draft, graph, state, may_roll, why, force, context.settings(state))
