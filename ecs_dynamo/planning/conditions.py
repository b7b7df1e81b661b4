"""Conditions: typed statements about the graph and each component, with the time of change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass

from ecs_dynamo.model.capacity import Shortage
from ecs_dynamo.model.conditions import Condition, ConditionReason, ConditionType
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.plan import Decision, ReplicaCounts
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import StaticScaling
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.generations.clashes import find_clash
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.failure_reasons import placement_failure
from ecs_dynamo.planning.observed.reachability import infrastructure_probes
from ecs_dynamo.planning.observed.routing import Routing


@dataclass(frozen=True, slots=True)
class Statement:
    """A condition without its time. ``status`` None: unknown, so the last status is kept."""

    type: ConditionType
    reason: str
    message: str = ""
    component: str | None = None
    _: KW_ONLY
    status: bool | None


def with_times(
    statements: Iterable[Statement], before: Iterable[Condition], wall: float
) -> tuple[Condition, ...]:
    """Return the conditions that are stated, the graph's first, then by component and type.

    ``since`` of a condition changes only with its status. ``before``: those of the last pass.
    """
    known = {(c.type, c.component): c for c in before}

    def condition(statement: Statement) -> Condition:
        old = known.get((statement.type, statement.component))
        status = statement.status
        if status is None:
            status = old is not None and old.status
        since = old.since if old is not None and old.status == status else wall
        return Condition(
            statement.type, status, statement.reason, statement.message, since, statement.component
        )

    conditions = map(condition, statements)
    return tuple(sorted(conditions, key=lambda c: (c.component or "", c.type.value)))


def all_conditions(
    context: PlanContext,
    builder: PlanBuilder,
    replicas: Mapping[str, ReplicaCounts],
    routes: Mapping[str, Routing | None],
    shortages: Mapping[str, Shortage],
) -> tuple[Condition, ...]:
    """Return the conditions of the graph and of all of its components."""
    monotonic = context.now.monotonic
    statements = (
        *component_statements(context, builder, replicas, shortages),
        graph_readiness(context, builder),
        graph_degradation(context, builder),
        endpoint_staleness(context),
        *routing_statements(routes),
        *signal_statements(
            context.graph.components, context.decisions, context.snapshot.signals, monotonic
        ),
        *limit_statements(context.decisions),
    )
    return with_times(statements, context.memory.conditions, context.now.wall)


def _waiting(builder: PlanBuilder) -> dict[str, str]:
    """Return the first wait of each component, by name."""
    return {w.component: w.reason for w in reversed(builder.waits)}


def component_statements(
    context: PlanContext,
    builder: PlanBuilder,
    replicas: Mapping[str, ReplicaCounts],
    shortages: Mapping[str, Shortage],
) -> Iterator[Statement]:
    """Yield Ready, Progressing, Degraded and CapacityShort of each component.

    Ready of a component in doubt keeps its status, with the reason NotObserved.
    """
    waiting = _waiting(builder)
    for state in context.components:
        if state.component.declared_name:
            continue  # Another generation counts for its declared component.
        name = state.name
        generations = [s.name for s in context.components if s.component.origin == name]
        doubt = next((n for n in generations if n in context.doubts.all), None)
        if doubt is not None:
            message = context.doubts.all[doubt]
            reason = ConditionReason.NOT_OBSERVED
            yield Statement(ConditionType.READY, reason, message, name, status=None)
        else:
            count = sum(replicas[n].ready for n in generations)
            desired = context.exchange.totals.get(name, state.desired)
            ready = count >= desired and context.obstacles.keys().isdisjoint(generations)
            reason = ConditionReason.ALL_READY if ready else ConditionReason.NOT_READY
            message = f"{count} of {desired} ready"
            yield Statement(ConditionType.READY, reason, message, name, status=ready)
        message = next((waiting[n] for n in generations if n in waiting), "")
        reason = ConditionReason.WAITING if message else ConditionReason.SETTLED
        yield Statement(ConditionType.PROGRESSING, reason, message, name, status=bool(message))
        problem = _degradation(context, builder, state)
        yield Statement(
            ConditionType.DEGRADED,
            *(problem or (ConditionReason.FINE, "")),
            component=name,
            status=problem is not None,
        )
        yield _capacity_statement(state, shortages.get(name), context.exchange.stuck.get(name))


def _degradation(
    context: PlanContext, builder: PlanBuilder, state: ComponentState
) -> tuple[str, str] | None:
    """Return the reason word and message of a problem, the most fundamental one first.

    A failed rollout has precedence over lost replicas, which may be its consequence.
    """
    name, failures = state.name, context.failures
    if name in context.obstacles:
        obstacle = context.obstacles[name]
        return ConditionReason(obstacle.reason.value), obstacle.message
    if name in failures.messages:
        return failures.reasons[name], failures.messages[name]
    if name in context.memory.rejected:
        return ConditionReason.REJECTED, context.memory.rejected[name]
    if state.rollout_failure is not None:
        return state.rollout_failure.reason, state.rollout_failure.message
    problem = builder.health.problems.get(name)
    return (problem.reason, problem.message) if problem is not None else None


def placement_shortage(state: ComponentState) -> str | None:
    """Return ECS's own message if it could not place a task, while replicas are missing."""
    service = state.service
    if service is None or service.running >= service.desired:
        return None
    return placement_failure(service)


def _capacity_statement(
    state: ComponentState, shortage: Shortage | None, stuck: str | None
) -> Statement:
    """Return CapacityShort: a failure that ECS reported has precedence over a predicted one.

    ``stuck``: why a generation cannot be exchanged for another.
    """
    reported = placement_shortage(state)
    if stuck is not None and shortage is None and reported is None:
        kind, reason = ConditionType.CAPACITY_SHORT, ConditionReason.DOES_NOT_FIT
        return Statement(kind, reason, stuck, state.name, status=True)
    if shortage is None:
        reason = ConditionReason.NO_PLACE if reported else ConditionReason.PLACED
        message = reported or ""
    elif reported is not None:
        reason, message = ConditionReason.NO_PLACE, f"{shortage.message}. ECS: {reported}"
    else:
        reason = ConditionReason.RAISING if shortage.raising else ConditionReason.DOES_NOT_FIT
        message = shortage.message
    is_short = reported is not None or shortage is not None
    return Statement(ConditionType.CAPACITY_SHORT, reason, message, state.name, status=is_short)


def graph_readiness(context: PlanContext, builder: PlanBuilder) -> Statement:
    """Return Ready of the graph: nothing to do and nothing to wait for."""
    waiting = _waiting(builder)
    blocked = context.obstacles or context.failures.messages
    if not waiting and not builder.actions and not blocked:
        message = "the graph is as declared"
        return Statement(ConditionType.READY, ConditionReason.CONVERGED, message, status=True)
    message = (
        "; ".join(f"{name or 'graph'}: {reason}" for name, reason in waiting.items())
        or "actions were taken; the next pass observes their effect"
    )
    return Statement(ConditionType.READY, ConditionReason.NOT_CONVERGED, message, status=False)


def graph_degradation(context: PlanContext, builder: PlanBuilder) -> Statement:
    """Return Degraded of the graph.

    Unreachable: no task can be reached over the network. AccessRefused: etcd or NATS refused the
    daemon's credentials. NamespaceClash: frontends serve the workers of another graph, too.
    ServesNobody: no request can be served.
    """
    kind, unreachable = ConditionType.DEGRADED, context.observed.unreachable
    if unreachable is not None:
        return Statement(kind, ConditionReason.UNREACHABLE, unreachable, status=True)
    refused = sorted({p.detail for p in infrastructure_probes(context.snapshot) if p.refused})
    if refused:
        message = f"{'; '.join(refused)}; see infrastructure.security"
        return Statement(kind, ConditionReason.ACCESS_REFUSED, message, status=True)
    clash = find_clash(context.graph, context.snapshot.namespaces)
    if clash is not None:
        return Statement(kind, ConditionReason.NAMESPACE_CLASH, clash, status=True)
    if builder.serves_nobody is not None:
        message = f"no request is served: {builder.serves_nobody}"
        return Statement(kind, ConditionReason.SERVES_NOBODY, message, status=True)
    return Statement(kind, ConditionReason.FINE, status=False)


def endpoint_staleness(context: PlanContext) -> Statement:
    """Return EndpointsStale of the graph."""
    names, endpoints = ", ".join(context.stale), context.endpoints
    if not names:
        return Statement(ConditionType.ENDPOINTS_STALE, ConditionReason.CURRENT, status=False)
    message = f"{names} still use other endpoints than {endpoints.etcd} {endpoints.nats or ''}"
    return Statement(
        ConditionType.ENDPOINTS_STALE, ConditionReason.MOVED, message.strip(), status=True
    )


def routing_statements(routes: Mapping[str, Routing | None]) -> Iterator[Statement]:
    """Yield Unrouted of each worker component for which discovery could be read."""
    for name, route in routes.items():
        if route is None:
            continue
        problem = route.problem
        reason = ConditionReason.CARD_DIFFERS if problem else ConditionReason.ROUTED
        yield Statement(ConditionType.UNROUTED, reason, problem or "", name, status=bool(problem))


def signal_statements(
    components: Iterable[Component],
    decisions: Iterable[Decision],
    signals: Iterable[Signal],
    monotonic: float,
) -> Iterator[Statement]:
    """Yield SignalStale of each component that scales: a source of its own reports nothing fresh.

    With another source fresh the component still scales up; without any, its count stays.
    """
    scaled = {c.name: c.scaling for c in components if c.scaling is not None}
    fresh: dict[str, set[str]] = {name: set() for name in scaled}
    partial: dict[str, set[str]] = {name: set() for name in scaled}
    newest: dict[str, float] = {}
    for signal in signals:
        age = signal.age(monotonic)
        newest[signal.component] = min(age, newest.get(signal.component, age))
        scaling = scaled.get(signal.component)
        if scaling and age <= max(scaling.max_signal_age_seconds, signal.max_age):
            (partial if signal.partial else fresh)[signal.component].add(signal.source)
    for decision in decisions:
        name = decision.component
        scaling = scaled.get(name)
        sources = () if scaling is None else dict.fromkeys(s.source for s in scaling.signals)
        silent = [source for source in sources if source not in fresh[name]]
        if isinstance(scaling, StaticScaling):
            silent = []  # A static count uses no signal.
        stale = decision.stale or bool(silent)
        age = newest.get(name, math.inf)
        message = f"newest signal is {age:.1f} s old" if age != math.inf else "no signal"
        if in_part := [source for source in silent if source in partial[name]]:
            message += f"; {', '.join(in_part)} reported only in part"
        if stale and silent:
            message = f"nothing fresh from {', '.join(silent)}; {message}"
        reason = ConditionReason.STALE if stale else ConditionReason.FRESH
        yield Statement(ConditionType.SIGNAL_STALE, reason, message, name, status=stale)


def limit_statements(decisions: Iterable[Decision]) -> Iterator[Statement]:
    """Yield ScalingLimited of each component that scales.

    While no signal is fresh, the demand is unknown, and the condition stays as it was.
    """
    kind = ConditionType.SCALING_LIMITED
    for decision in decisions:
        name, limitation = decision.component, decision.limitation
        if limitation is not None:
            yield Statement(kind, limitation.reason, limitation.message, name, status=True)
        elif decision.stale:
            message = "no signal is fresh"
            yield Statement(kind, ConditionReason.STALE, message, name, status=None)
        else:
            yield Statement(kind, ConditionReason.WITHIN_LIMITS, component=name, status=False)
