"""The exchange of one pass: paused, waiting for frontends, or one step further."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import PREFIX_VARIABLE
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.exchange import Exchange
from ecs_dynamo.model.generations import GenerationMode, frontend_prefix
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.plan import Wait
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.generations.clashes import why_adoption_waits
from ecs_dynamo.planning.desired.obstacles import Doubts, Obstacle
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.rollout.exchange.canary import canary_seconds_left
from ecs_dynamo.planning.rollout.exchange.failure import find_failure
from ecs_dynamo.planning.rollout.exchange.sides import (
    PoolSides,
    advance,
    find_sides,
    pause,
    serving_generations,
)
from ecs_dynamo.planning.rollout.order import stale_dependants


def decide_exchange(
    observed: ObservedGraph,
    states: tuple[ComponentState, ...],
    desired: Mapping[str, int],
    ready_since: Mapping[str, float],
    unready_since: Mapping[str, float],
    obstacles: Mapping[str, Obstacle],
    doubts: Doubts,
    now: Now,
) -> Exchange:
    """Return the counts of all generations of workers.

    ``desired``: replicas of all generations together, by declared component. Nothing is exchanged
    while something is unknown, while endpoints move, or while the generation that comes up fails.
    """
    sides = find_sides(observed, states, desired)
    if not sides:
        return Exchange()
    reason = _why_in_doubt(sides, obstacles, doubts)
    if reason is not None:
        return pause(sides, reason)
    reason = _why_moving(observed, states, sides)
    if reason is not None:
        # A generation that never served need not move, and could block the others indefinitely.
        return pause(sides, reason, serving=serving_generations(sides))
    unprefixed = frontends_without_prefix(observed, states)
    if unprefixed:
        clash = why_adoption_waits(observed.graph, observed.snapshot.namespaces)
        if clash is not None:
            return pause(sides, clash)
        names = ", ".join(unprefixed)
        paused = pause(sides, f"the frontends must serve every generation first: {names}")
        return replace(paused, frontends_first=True)
    failure = find_failure(observed, states, unready_since, now.monotonic)
    if failure is not None:
        return replace(pause(sides, failure.message), failure=failure)
    left = canary_seconds_left(observed, sides, now.wall)
    level = 1 if left > 0 else None
    exchange = advance(observed, sides, ready_since, now.monotonic, level)
    if left > 0:
        text = f"the first set of the new generation bakes for {left:.0f} s more"
        waits = [Wait(pool.target.name, text, WaitPurpose.CANARY) for pool in sides]
        exchange = replace(exchange, waits=(*waits, *exchange.waits))
    return exchange


def _why_in_doubt(
    sides: Iterable[PoolSides], obstacles: Mapping[str, Obstacle], doubts: Doubts
) -> str | None:
    """Return what is unknown, so that all counts stay as they are; None if nothing is."""
    for state in (s for pool in sides for s in pool.states):
        if state.name in obstacles:
            return f"{state.name}: {obstacles[state.name].message}"
        if state.name in doubts.all:
            return f"{state.name}: {doubts.all[state.name]}"
    return None


def _why_moving(
    observed: ObservedGraph, states: Iterable[ComponentState], sides: Iterable[PoolSides]
) -> str | None:
    """Return which replicas are replaced within their generations first; None if none are."""
    workers = [s for pool in sides for s in pool.states]
    dependants = [s for s in states if not s.component.is_infrastructure]
    stale = stale_dependants(observed.injected, observed.endpoints, dependants)
    if stale:
        return f"the endpoints of {', '.join(stale)} move first"
    if any(s.content is None for s in workers):
        return "etcd or NATS does not answer"
    replaced = [s.name for s in workers if s.service is not None and len(s.service.deployments) > 1]
    if replaced:
        return f"the replicas of {', '.join(replaced)} are replaced within their generation first"
    return None


def frontends_without_prefix(
    observed: ObservedGraph, states: Iterable[ComponentState]
) -> tuple[str, ...]:
    """Return the frontends that do not serve generations yet, while a running graph is adopted."""
    graph = observed.graph
    if graph.generations.mode is not GenerationMode.ADOPTING:
        return ()
    prefix = frontend_prefix(graph.namespace, graph.generations.mode)
    return tuple(
        s.name
        for s in states
        if s.component.is_frontend and s.service is not None and not _serves(s, prefix)
    )


def prefix_of(component: Component, revision: Revision) -> str | None:
    """Return the prefix of the namespaces that a frontend's revision serves; None without one."""
    names = dynamo_containers(component).names
    return environment_value(revision.content, PREFIX_VARIABLE, names)


def _serves(state: ComponentState, prefix: str | None) -> bool:
    """Return whether all replicas of a frontend run with the prefix, and are ready."""
    revisions = state.observed.snapshot.revisions
    for task in state.observed.running:
        revision = revisions.get(task.task_definition_arn)
        if revision is None or prefix_of(state.component, revision) != prefix:
            return False
    ready = state.observed.readiness.proven
    return bool(state.observed.running) and ready >= {t.arn for t in state.observed.running}
