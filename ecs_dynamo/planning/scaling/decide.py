"""Desired counts: what each component's own policy says, or the declared count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.plan import Decision, Memory
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.observed.lookup import (
    known_service,
    known_tasks,
)
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.scaling.cold_start import observe_cold_starts
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import scheduled


def decide_counts(
    graph: Graph, snapshot: Snapshot, memory: Memory, now: Now, blocked: Mapping[str, object]
) -> tuple[dict[str, int], list[Decision], dict[str, ScalingState]]:
    """Desired count of every component; scaling decides where it is declared."""
    counts: dict[str, int] = {}
    decisions: list[Decision] = []
    states: dict[str, ScalingState] = {}
    for component in graph.components:
        seen = snapshot.components.get(component.name)
        service = known_service(seen) if seen else None
        counts[component.name] = component.replicas
        if component.scaling is None or component.is_infrastructure:
            continue
        state = memory.scaling.get(component.name, ScalingState())
        if service is None or component.name in blocked:
            states[component.name] = state
            continue
        output = _decide(graph, component, component.scaling, service, snapshot, state, memory, now)
        counts[component.name] = output.decision.desired
        decisions.append(output.decision)
        states[component.name] = output.state
    return counts, decisions, states


def _decide(
    graph: Graph,
    component: Component,
    scaling: ScalingSpec,
    service: Service,
    snapshot: Snapshot,
    state: ScalingState,
    memory: Memory,
    now: Now,
) -> ScalingOutput:
    tasks = [
        t for t in known_tasks(snapshot.components[component.name]) if t.desired_status == "RUNNING"
    ]
    ready = ready_tasks(graph, component, snapshot)
    arns = {t.arn for t in ready}
    cold = observe_cold_starts(state.cold_starts, tasks, ready, now.wall)
    return decide(
        ScalingInput(
            component=component.name,
            spec=scheduled(scaling, now.wall),
            current=service.desired,
            signals=tuple(s for s in snapshot.signals if s.component == component.name),
            state=replace(state, cold_starts=cold),
            observing_since=memory.started_at,
            now=now.monotonic,
            ready=len(ready),
            starting=tuple(
                now.monotonic_of(t.created_at or now.wall) for t in tasks if t.arn not in arns
            ),
            declared=component.replicas,
        )
    )
