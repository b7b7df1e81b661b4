"""The plan: the actions that take a snapshot to the declared graph, in order and with reasons.

A pass is level-triggered: it depends on the observed state, and not on what earlier passes did, so
it may be interrupted after any action and started again. A rule that defers something adds a `Wait`
with the cause, in words on which a person can act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Final, TypeAlias

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, Plan, ReplicaCounts
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.capacity.plan import CapacityPlan, plan_capacity
from ecs_dynamo.planning.conditions import all_conditions
from ecs_dynamo.planning.derivation import derive_context
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.healing.health import assess_replica_health
from ecs_dynamo.planning.healing.replacement import replace_lost_replicas
from ecs_dynamo.planning.healing.serving import assess_serving
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.observed.routing import Routing, describe_unattributed, with_routing
from ecs_dynamo.planning.rollout.draining_instances import drain_noticed_instances
from ecs_dynamo.planning.rollout.handover.moves import tend_old_side
from ecs_dynamo.planning.rollout.progress import report_progress
from ecs_dynamo.planning.services.blocked import explain_blocked_components, note_adjustments
from ecs_dynamo.planning.services.dependants import plan_dependants
from ecs_dynamo.planning.services.etcd_members import plan_members
from ecs_dynamo.planning.services.generations import (
    announce_adoption,
    record_exchange,
    retire_generations,
)
from ecs_dynamo.planning.services.infrastructure import plan_infrastructure
from ecs_dynamo.planning.services.retirement import retire_orphans, retire_revisions
from ecs_dynamo.planning.services.service_actions import register_again
from ecs_dynamo.planning.services.unreachable import report_unreachable
from ecs_dynamo.planning.services.withheld_releases import withhold_releases

Rule: TypeAlias = Callable[[PlanContext, PlanBuilder], PlanBuilder]
"""Reads the context and the plan so far, and returns the plan with its own additions."""

RULES: Final[tuple[Rule, ...]] = (
    # Explanations come first: a component's condition shows its first wait.
    note_adjustments,
    announce_adoption,
    explain_blocked_components,
    # An instance with a notice ends in two minutes, so nothing may delay its draining.
    drain_noticed_instances,
    # The infrastructure provides the endpoints that the dependants need.
    plan_infrastructure,
    plan_members,
    # A failed generation is recorded before workers change, so that no daemon tries it again.
    record_exchange,
    plan_dependants,
    # The old side of a move is released only for components without an action so far.
    tend_old_side,
    # Lost replicas are replaced after rollouts are planned: a rollout may replace them anyway.
    assess_replica_health,
    replace_lost_replicas,
    assess_serving,
    # General progress is reported where no rule so far has a more specific explanation.
    report_progress,
    register_again,
    # All actions that affect replicas are planned now, so releases in doubt can be withheld.
    withhold_releases,
    report_unreachable,
    # Retirement waits until nothing else is to be done: it deletes what could still be needed.
    retire_generations,
    retire_orphans,
    retire_revisions,
)
"""The rules of a pass. Their order is the policy."""


def plan(graph: Graph, snapshot: Snapshot, memory: Memory, now: Now) -> Plan:
    """Return the actions to take now. Equal arguments give equal plans."""
    observed = observe_graph(graph, snapshot)
    context = derive_context(observed, memory, now)
    builder = reduce(lambda built, rule: rule(context, built), RULES, PlanBuilder())
    # Capacity is planned beside the rules: a graph converges while its instances are resized.
    capacity = plan_capacity(graph, snapshot, context.actionable, memory.capacity, now.monotonic)
    return _assemble(context, builder, capacity)


def _assemble(context: PlanContext, builder: PlanBuilder, capacity: CapacityPlan) -> Plan:
    """Combine the results of all steps into the plan, with conditions and the next memory."""
    routes, replicas = _replicas(context)
    conditions = all_conditions(context, builder, replicas, routes, capacity.shortages)
    failures = context.failures
    return Plan(
        graph=context.graph.name,
        actions=(*builder.actions, *capacity.actions),
        waits=(*builder.waits, *capacity.waits),
        conditions=conditions,
        endpoints=context.endpoints,
        decisions=context.decisions,
        replicas=replicas,
        notes=(*builder.notes, *capacity.notes),
        memory=replace(
            context.memory,
            scaling=context.scaling,
            failed=failures.remembered,
            causes=failures.causes,
            conditions=conditions,
            ready_since=context.ready_since,
            unready_since=context.unready_since,
            withdrawal=context.exchange.failure or context.memory.withdrawal,
            capacity=capacity.memory,
            health=builder.health.memory,
        ),
        failures=failures.messages,
        stuck=_is_stuck(context, builder),
        shortages=tuple(capacity.shortages.values()),
        unattributed=describe_unattributed(context.observed.attribution),
        unknown=context.doubts.all,
        lost={name: problem.lost for name, problem in builder.health.problems.items()},
        serves_nobody=builder.serves_nobody is not None,
        ready={name: c.readiness.ready for name, c in context.observed.components.items()},
        effective=context.graph,
    )


def _replicas(
    context: PlanContext,
) -> tuple[Mapping[str, Routing | None], Mapping[str, ReplicaCounts]]:
    """Return how frontends route to each component, and its replica counts.

    Frontends find a new worker with some delay, so only workers that have been ready for a
    discovery lease are expected to be routed to.
    """
    lease, now = context.graph.runtime.lease_seconds, context.now.monotonic
    settled = frozenset(arn for arn, at in context.ready_since.items() if now - at >= lease)
    observed, components = context.observed, context.graph.components
    routes = {c.name: observed.routing(c, settled) for c in components}
    return routes, {c.name: with_routing(observed.counts(c), routes[c.name]) for c in components}


def _is_stuck(context: PlanContext, builder: PlanBuilder) -> bool:
    """Return whether nothing more will happen by itself: all that is left waits for a failure."""
    if builder.actions:
        return False
    rolling = context.exchange.in_progress or any(s.rollout_in_progress for s in context.actionable)
    failed = bool(context.failures.messages) and not rolling
    return context.observed.unreachable is not None or failed
