"""Desired counts: those of each component's scaling policy, or the declared ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.plan import Decision, Memory
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.observed.facts import ObservedComponent, ObservedGraph
from ecs_dynamo.planning.scaling.cold_start import observe_cold_starts
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import scheduled


def decide_counts(
    observed: ObservedGraph, memory: Memory, now: Now, blocked: Collection[str]
) -> tuple[dict[str, int], list[Decision], dict[str, ScalingState]]:
    """Return the desired count of every component, and the decisions and states of scaling.

    Components without a service, and those in ``blocked``, keep their scaling state.
    """
    counts: dict[str, int] = {}
    decisions: list[Decision] = []
    states: dict[str, ScalingState] = {}
    for component in observed.graph.components:
        counts[component.name] = component.replicas
        if component.scaling is None or component.is_infrastructure:
            continue
        state = memory.scaling.get(component.name, ScalingState())
        facts = observed.components.get(component.name)
        if facts is None or facts.service is None or component.name in blocked:
            states[component.name] = state
            continue
        signals = observed.snapshot.signals
        output = _decide(facts, facts.service, component.scaling, signals, state, memory, now)
        counts[component.name] = output.decision.desired
        decisions.append(output.decision)
        states[component.name] = output.state
    return counts, decisions, states


def _decide(
    observed: ObservedComponent,
    service: Service,
    scaling: ScalingSpec,
    signals: tuple[Signal, ...],
    state: ScalingState,
    memory: Memory,
    now: Now,
) -> ScalingOutput:
    component = observed.component
    tasks = [t for t in observed.tasks if t.desired_status == "RUNNING"]
    ready = observed.ready(observed.tasks)
    arns = observed.readiness.ready
    cold = observe_cold_starts(state.cold_starts, tasks, ready, now.wall)
    return decide(
        ScalingInput(
            component=component.name,
            spec=scheduled(scaling, now.wall),
            current=service.desired,
            signals=tuple(s for s in signals if s.component == component.name),
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
