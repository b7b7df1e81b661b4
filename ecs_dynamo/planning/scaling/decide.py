"""Desired counts: those of each component's scaling policy, or the declared ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.engine_limits import engine_limit
from ecs_dynamo.model.graph import TAG_REPLICAS, Component
from ecs_dynamo.model.limits import SharedLimit
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.plan import Decision, Memory
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.observed.facts import ObservedComponent, ObservedGraph
from ecs_dynamo.planning.scaling.arbitration.apply import Decided, apply_limits
from ecs_dynamo.planning.scaling.cold_start import observe_cold_starts
from ecs_dynamo.planning.scaling.policy import ScalingInput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import scheduled
from ecs_dynamo.planning.scaling.zero.together import keep_together


def decide_counts(
    observed: ObservedGraph,
    memory: Memory,
    now: Now,
    blocked: Collection[str],
    limits: Sequence[SharedLimit] = (),
) -> tuple[dict[str, int], list[Decision], dict[str, ScalingState]]:
    """Return the desired count of every declared component, and scaling's decisions and states.

    The replicas of all generations of a component count together. Components without a service, and
    those in ``blocked``, keep their scaling state. Together, the counts stay within the ``limits``.
    """
    counts: dict[str, int] = {}
    used: dict[str, int] = {}
    decided: dict[str, Decided] = {}
    states: dict[str, ScalingState] = {}
    for component in observed.graph.components:
        if component.declared_name:
            continue
        counts[component.name] = component.replicas
        if component.scaling is None or component.is_infrastructure:
            continue
        state = memory.scaling.get(component.name, ScalingState())
        generations = [
            c for c in observed.components.values() if c.component.origin == component.name
        ]
        current = current_replicas(component, generations)
        if current is None or any(c.component.name in blocked for c in generations):
            states[component.name] = state
            if current is not None:
                used[component.name] = current
            continue
        signals = observed.snapshot.signals
        inputs = _inputs(
            component, generations, current, component.scaling, signals, state, memory, now
        )
        decided[component.name] = Decided(inputs, decide(inputs))
    counts |= {name: item.output.decision.desired for name, item in decided.items()}
    decisions = [item.output.decision for item in decided.values()]
    # Before the limits, which then hold for the replicas that are kept, too.
    roles = {component.name: component.roles for component in observed.graph.components}
    counts, decisions = keep_together(roles, counts, decisions)
    for decision in decisions:
        item = decided[decision.component]
        decided[decision.component] = replace(item, output=replace(item.output, decision=decision))
    outputs = apply_limits(decided, {**counts, **used}, limits, now.monotonic)
    counts |= {name: output.decision.desired for name, output in outputs.items()}
    states |= {name: output.state for name, output in outputs.items()}
    return counts, [output.decision for output in outputs.values()], states


def current_replicas(component: Component, generations: Sequence[ObservedComponent]) -> int | None:
    """Return the replicas of a component in all generations together; None without a service.

    While one generation is exchanged for another, both may have more replicas than that, so the
    number is recorded on the service of the one that comes up. Before that has a service, it may be
    recorded on that of the generation which it replaces halfway.
    """
    services = {c.component.name: c.service for c in generations if c.service is not None}
    own = services.get(component.name)
    others = [s for name, s in services.items() if name != component.name]
    if own is not None and not any(s.desired for s in others):
        return own.desired
    newest_first = (*((own,) if own is not None else ()), *others)
    recorded = [s.tags.get(TAG_REPLICAS, "") for s in newest_first]
    number = next((int(text) for text in recorded if text.isdecimal()), None)
    return number if number is not None else max((s.desired for s in newest_first), default=None)


def _inputs(
    component: Component,
    generations: Sequence[ObservedComponent],
    current: int,
    scaling: ScalingSpec,
    signals: tuple[Signal, ...],
    state: ScalingState,
    memory: Memory,
    now: Now,
) -> ScalingInput[ScalingSpec]:
    tasks = [t for c in generations for t in c.tasks if t.desired_status == "RUNNING"]
    ready = tuple(t for c in generations for t in c.ready(c.tasks))
    arns = {t.arn for t in ready}
    cold = observe_cold_starts(state.cold_starts, tasks, ready, now.wall)
    return ScalingInput(
        component=component.name,
        spec=scheduled(scaling, now.wall),
        current=current,
        signals=tuple(s for s in signals if s.component == component.name),
        state=replace(state, cold_starts=cold),
        observing_since=memory.started_at,
        now=now.monotonic,
        ready=len(ready),
        starting=tuple(
            now.monotonic_of(t.created_at or now.wall) for t in tasks if t.arn not in arns
        ),
        declared=component.replicas,
        roles=frozenset(component.roles),
        engine_limit=engine_limit(component),
    )
