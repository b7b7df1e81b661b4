"""Rule: frontends, workers and planners are created, rolled out and scaled.

All of them use the current endpoints of the infrastructure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecs_dynamo.model.generations import frontend_prefix
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.generations.clashes import why_prefix_waits, why_workers_wait
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.endpoints import endpoints_complete
from ecs_dynamo.planning.observed.reachability import infrastructure_probes
from ecs_dynamo.planning.rollout.canary import assess_canary
from ecs_dynamo.planning.rollout.deployment_limits import limits_now, without_old_side
from ecs_dynamo.planning.rollout.deployments import has_lost_etcd, why_deployment_waits
from ecs_dynamo.planning.rollout.exchange.decide import prefix_of
from ecs_dynamo.planning.rollout.handover.moves import keep_old_side, relocates
from ecs_dynamo.planning.rollout.handover.rolling import hand_over
from ecs_dynamo.planning.rollout.order import next_in_order, rollout_rank
from ecs_dynamo.planning.services.preparation import (
    protect_departing_tasks,
    tag_hold,
    wait_for_deployments,
)
from ecs_dynamo.planning.services.service_actions import create_service, update_service

SHOWN_PROBES = 3
"""How many failed probes a wait quotes."""


@dataclass(frozen=True, slots=True)
class _Permissions:
    """Which dependants may be created or rolled out in this pass.

    ``complete``: the endpoints are known. ``unsettled``: infrastructure that is about to change.
    ``may_roll``: names of components that may roll out. ``next``: the one that the others wait for.
    """

    complete: bool
    unsettled: tuple[str, ...]
    may_roll: frozenset[str]
    next: str | None


def plan_dependants(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Create, roll out and scale the components that depend on the endpoints."""
    permissions = _permissions(context)
    if not permissions.complete:
        builder = _wait_for_endpoints(builder, context)
    builder, may_roll = _defer_deployments(builder, context, permissions.may_roll)
    builder, clashing = _defer_clashes(builder, context)
    may_roll -= clashing
    if context.stale and may_roll:
        rolling = [s for s in context.dependants if s.name in may_roll]
        builder = keep_old_side(builder, context, rolling)
    for state in sorted(context.dependants, key=lambda s: (rollout_rank(s), s.name)):
        if state.service is not None:
            builder = _plan_existing(builder, context, state, permissions, may_roll)
        elif state.name in context.exchange.later or state.name in clashing:
            continue  # Its generation waits for capacity, for prefill workers, or for frontends.
        elif permissions.complete and not permissions.unsettled:
            builder = create_service(builder, context, state)
        elif permissions.complete:
            text = f"waiting for {', '.join(permissions.unsettled)} to settle"
            builder = builder.with_wait(state.name, WaitPurpose.INFRASTRUCTURE, text)
    return builder


def _permissions(context: PlanContext) -> _Permissions:
    """Return which dependants may roll out.

    Stale dependants roll out at once, others in order. Rollbacks begin whatever else is in
    progress. Components that are not known for certain do not roll out.
    """
    dependants = context.dependants
    complete = endpoints_complete(context.graph, context.endpoints)
    unsettled = _unsettled_infrastructure(context)
    may_roll: frozenset[str] = frozenset()
    next_name: str | None = None
    if complete and not unsettled:
        if context.stale:
            may_roll = frozenset(s.name for s in dependants if s.needs_rollout)
        elif not context.doubts.all:  # With doubts the order is unknown.
            failures = context.failures.messages
            candidates = [s for s in dependants if s.name not in failures]
            if context.exchange.in_progress:
                # Frontends and planners follow once all workers are of one generation.
                first = context.exchange.frontends_first
                candidates = [
                    s
                    for s in candidates
                    if s.component.is_worker or (first and s.component.is_frontend)
                ]
            if not failures:
                may_roll, next_name = next_in_order(candidates)
            may_roll |= _blocking_a_move(candidates)
    may_roll |= {s.name for s in dependants if s.rollback_target is not None}
    return _Permissions(complete, unsettled, may_roll - context.doubts.all.keys(), next_name)


def _unsettled_infrastructure(context: PlanContext) -> tuple[str, ...]:
    """Return the infrastructure that is about to change or is not ready.

    Its rollout moves the endpoints, so a dependant that rolled out now would do so twice. A cluster
    of etcd serves without one of its members, so members do not count.
    """
    return tuple(
        s.name
        for s in context.infrastructure
        if s.component.member is None
        and (s.needs_rollout or (s.service is not None and not s.ready_new_tasks))
    )


def _blocking_a_move(candidates: Iterable[ComponentState]) -> frozenset[str]:
    """Return the components with a newer declaration whose revision for a move never gets ready.

    The others keep their old side, and their place in the order, until these components have
    followed. In that order their own turn would never come.
    """
    return frozenset(
        s.name for s in candidates if s.needs_rollout and relocates(s) and not s.ready_new_tasks
    )


def _defer_deployments(
    builder: PlanBuilder, context: PlanContext, may_roll: frozenset[str]
) -> tuple[PlanBuilder, frozenset[str]]:
    """Return which components may roll out, without those that have too many deployments."""
    deferred = set()
    for state in context.dependants:
        why_waits = why_deployment_waits(state) if state.name in may_roll else None
        if why_waits is not None:
            deferred.add(state.name)
            builder = wait_for_deployments(builder, context, state, why_waits)
    return builder, may_roll - deferred


def _defer_clashes(
    builder: PlanBuilder, context: PlanContext
) -> tuple[PlanBuilder, frozenset[str]]:
    """Return the components that must not start or roll out: they would serve another graph too.

    Frontends that have their prefix already, and workers that run, are left alone.
    """
    graph, namespaces = context.graph, context.snapshot.namespaces
    prefix = frontend_prefix(graph.namespace, graph.generations.mode)
    deferred = set()
    for state in context.dependants:
        why = None
        if state.component.is_frontend:
            current = state.current
            if current is None or prefix_of(state.component, current) != prefix:
                why = why_prefix_waits(graph, namespaces, prefix)
        elif state.component.generation is not None and state.service is None:
            why = why_workers_wait(graph, namespaces)
        if why is not None and (state.service is None or state.needs_rollout):
            deferred.add(state.name)
            builder = builder.with_wait(state.name, WaitPurpose.NAMESPACE_CLASH, why)
    return builder, frozenset(deferred)


def _plan_existing(
    builder: PlanBuilder,
    context: PlanContext,
    state: ComponentState,
    permissions: _Permissions,
    may_roll: frozenset[str],
) -> PlanBuilder:
    name, failures, doubts = state.name, context.failures, context.doubts.all
    reason = state.rollout_reason
    if context.stale:
        etcd, nats = context.endpoints.etcd, context.endpoints.nats
        reason = f"endpoints moved to {etcd} {nats or ''}".rstrip()
    elif state.rollback_target is not None:
        reason = failures.reasons[name]
    builder = tag_hold(builder, context, state)
    builder = protect_departing_tasks(builder, context, state)
    builder = _roll_out(builder, context, state, may_roll=name in may_roll, reason=reason)
    if state.needs_rollout and name in may_roll:
        builder = builder.with_wait(name, WaitPurpose.ROLLOUT, reason)
    elif state.needs_rollout and name not in failures.messages:
        unknown = f"{', '.join(sorted(doubts))} is known" if doubts else ""
        unsettled = ", ".join(permissions.unsettled)
        after = permissions.next or unsettled or unknown or "the failed rollout"
        builder = builder.with_wait(name, WaitPurpose.ROLLOUT_TURN, f"rolls out after {after}")
    return builder


def _wait_for_endpoints(builder: PlanBuilder, context: PlanContext) -> PlanBuilder:
    missing = [
        name
        for name, value, needed in (
            ("etcd", context.endpoints.etcd, True),
            ("NATS", context.endpoints.nats, context.graph.has_nats),
        )
        if needed and value is None
    ]
    failed = sorted({p.detail for p in infrastructure_probes(context.snapshot) if not p.healthy})
    detail = f" ({'; '.join(failed[:SHOWN_PROBES])})" if failed else ""
    text = f"waiting for a ready {' and '.join(missing)}{detail}"
    for state in context.dependants:
        if state.service is None:
            builder = builder.with_wait(state.name, WaitPurpose.ENDPOINTS, text)
    return builder


def _roll_out(
    builder: PlanBuilder,
    context: PlanContext,
    state: ComponentState,
    *,
    may_roll: bool,
    reason: str,
) -> PlanBuilder:
    """Begin or continue a rollout, and set other differences of the service."""
    begins, moves = state.needs_rollout and may_roll, bool(context.stale)
    canary = None
    if not begins and not moves:
        canary = assess_canary(state, context.snapshot, context.now.wall)
    limits = limits_now(state, context.snapshot, begins=begins, moves=moves, canary=canary)
    if limits.note is not None and limits.change and has_lost_etcd(context, state):
        limits = without_old_side(state)
    builder = builder.with_notes([limits.note])
    if not moves and not relocates(state) and (begins or state.rollout_in_progress):
        baking = canary is not None and canary.is_baking
        actions = hand_over(context, state, limits.effective, begins=begins, baking=baking)
        builder = builder.with_actions(actions)
    if canary is not None and canary.record is not None:
        builder = builder.with_actions([canary.record])
    if canary is not None and canary.message:
        builder = builder.with_wait(state.name, WaitPurpose.CANARY, canary.message)
    return update_service(
        builder,
        context,
        state,
        may_roll=may_roll,
        reason=reason,
        limits=limits.effective if limits.change else None,
    )
