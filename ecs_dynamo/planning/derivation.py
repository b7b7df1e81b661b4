"""From facts to the context of the rules: the desired state of every component.

The steps build on each other: counts and rendered revisions, the assessment of rollouts, holds of
failed declarations, and last the deferral of counts that cannot be reached safely now.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.exchange import Exchange
from ecs_dynamo.model.generations import GenerationMode
from ecs_dynamo.model.graph import Component, JsonObject
from ecs_dynamo.model.plan import Memory
from ecs_dynamo.planning.capacity.limits import shared_limits
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.declaration import declared_fingerprint
from ecs_dynamo.planning.desired.etcd_member import as_member
from ecs_dynamo.planning.desired.obstacles import find_doubts, find_obstacles
from ecs_dynamo.planning.desired.port_turns import render_in_turn, take_turn
from ecs_dynamo.planning.desired.ports import PortPlan, plan_ports
from ecs_dynamo.planning.desired.rendering import same_without_routing_ids
from ecs_dynamo.planning.observed.endpoints import endpoints_complete
from ecs_dynamo.planning.observed.facts import ObservedComponent, ObservedGraph
from ecs_dynamo.planning.rollout.deployments import limit_to_both_sides
from ecs_dynamo.planning.rollout.exchange.decide import decide_exchange
from ecs_dynamo.planning.rollout.exchange.failure import unready_workers
from ecs_dynamo.planning.rollout.exchange.withdrawal import with_withdrawal
from ecs_dynamo.planning.rollout.hold import find_failures, put_on_hold
from ecs_dynamo.planning.rollout.order import stale_dependants
from ecs_dynamo.planning.rollout.progress_deadline import with_rollout_failure
from ecs_dynamo.planning.rollout.protection import defer_unknown_work
from ecs_dynamo.planning.scaling.decide import decide_counts


def derive_context(observed: ObservedGraph, memory: Memory, now: Now) -> PlanContext:
    """Derive the desired state of every component, and everything else that rules read."""
    graph, snapshot = observed.graph, observed.snapshot
    ports = plan_ports(graph)
    obstacles = find_obstacles(observed)
    limits = shared_limits(graph, snapshot, memory.capacity, now.monotonic)
    counts, decisions, scaling = decide_counts(observed, memory, now, obstacles.keys(), limits)
    states = tuple(
        with_rollout_failure(
            observed, _desired_state(observed, facts, ports, _count(facts, counts)), now.wall
        )
        for facts in observed.components.values()
    )
    doubts = find_doubts(observed, obstacles)
    ready_since = _ready_since(observed, obstacles, memory, now.monotonic)
    unready_since = unready_workers(observed, memory, now.monotonic)
    exchange = decide_exchange(
        observed, states, counts, ready_since, unready_since, obstacles, doubts, now
    )
    states = tuple(replace(s, desired=exchange.counts.get(s.name, s.desired)) for s in states)
    failures = with_withdrawal(observed, find_failures(_judged(states, exchange), memory), memory)
    states = tuple(
        _on_hold(observed, s, ports)
        if s.name in failures.messages and not _keeps_revision(observed, s.component)
        else s
        for s in states
    )
    limited = [limit_to_both_sides(s, snapshot) for s in states]
    deferred = [
        (s, None) if _is_withdrawn(observed, s.component) else defer_unknown_work(observed, s)
        for s, _ in limited
    ]
    waits = (wait for _, wait in (*limited, *deferred))
    context = PlanContext(
        observed=observed,
        memory=memory,
        now=now,
        ports=ports,
        components=tuple(s for s, _ in deferred),
        obstacles=obstacles,
        doubts=doubts,
        failures=failures,
        deferrals=(*(wait for wait in waits if wait is not None), *exchange.waits),
        decisions=tuple(decisions),
        scaling=scaling,
        exchange=exchange,
        ready_since=ready_since,
        unready_since=unready_since,
    )
    return replace(
        context,
        stale=stale_dependants(observed.injected, observed.endpoints, context.dependants),
    )


def _desired_state(
    observed: ObservedGraph, facts: ObservedComponent, ports: PortPlan, desired: int
) -> ComponentState:
    """Return the desired state of a component, with its rendered revision where it has one."""
    graph, component = observed.graph, facts.component
    state = ComponentState(
        component=component,
        observed=facts,
        content=None,
        fingerprint=None,
        desired=desired,
        declared=_declared_fingerprint(observed, component, ports),
        one_per_instance=component.name in ports.distinct_instances,
    )
    if component.member is not None:
        return as_member(graph, observed.membership, state)
    if not component.is_infrastructure and not endpoints_complete(graph, observed.endpoints):
        return state
    content = render_in_turn(graph, state, observed.endpoints, ports, observed.snapshot)
    state = replace(state, content=content, fingerprint=_fingerprint(content, facts))
    return _on_hold(observed, state, ports) if _keeps_revision(observed, component) else state


def _count(facts: ObservedComponent, counts: Mapping[str, int]) -> int:
    """Return the desired count of a component; other generations keep theirs until the exchange."""
    current = facts.service.desired if facts.service is not None else 0
    return counts.get(facts.component.name, current)


def _keeps_revision(observed: ObservedGraph, component: Component) -> bool:
    """Return whether a component belongs to another generation than the declared one."""
    generations = observed.graph.generations
    return (
        generations.mode is not GenerationMode.OFF
        and component.is_worker
        and component.generation != generations.declared
    )


def _is_withdrawn(observed: ObservedGraph, component: Component) -> bool:
    """Return whether a component belongs to a generation that failed: its workers may hang."""
    generations = observed.graph.generations
    return bool(component.declared_name) and component.generation == generations.declared


def _judged(states: Iterable[ComponentState], exchange: Exchange) -> tuple[ComponentState, ...]:
    """Return the components whose declaration can fail on its own.

    In an exchange, a generation fails as a whole, and the others are not declared any longer.
    """
    return tuple(
        s
        for s in states
        if not s.component.declared_name and not (exchange.in_progress and s.component.is_worker)
    )


def _declared_fingerprint(observed: ObservedGraph, component: Component, ports: PortPlan) -> str:
    graph = observed.graph
    port = ports.system_ports.get(component.name, graph.runtime.system_port)
    return declared_fingerprint(graph, component, port)


def _fingerprint(content: JsonObject, facts: ObservedComponent) -> str:
    """Return the fingerprint of ``content``, or that of an equal running revision.

    A task definition that is merely written differently (``.25 vCPU`` instead of ``256``) must not
    cause a rollout.
    """
    digest, current = fingerprint(content), facts.current
    if (
        current is not None
        and current.fingerprint not in (None, digest)
        and same_without_routing_ids(current.content, content)
    ):
        return current.fingerprint or digest
    return digest


def _on_hold(observed: ObservedGraph, state: ComponentState, ports: PortPlan) -> ComponentState:
    """Return ``state`` on hold, with a system port at which it can start beside running tasks."""
    on_hold = put_on_hold(state, observed.endpoints)
    content = take_turn(on_hold, ports, observed.snapshot)
    if content is None or content is on_hold.content:
        return on_hold
    return replace(on_hold, content=content, fingerprint=fingerprint(content))


def _ready_since(
    observed: ObservedGraph, obstacles: Container[str], memory: Memory, monotonic: float
) -> Mapping[str, float]:
    """Return since when each ready task has been ready, by ARN, in monotonic seconds.

    The time begins with proof, and does not end while a task that was proven ready is merely not
    observed.
    """
    return {
        arn: memory.ready_since.get(arn, monotonic)
        for name, facts in observed.components.items()
        if name not in obstacles
        for arn in sorted(facts.readiness.ready)
        if arn in facts.readiness.proven or arn in memory.ready_since
    }
