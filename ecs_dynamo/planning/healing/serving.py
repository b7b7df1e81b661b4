"""Rule: assess whether the graph can serve any request at all.

It can with a ready frontend and a ready worker of each kind that it runs. A graph that has served
before and no longer can is `Degraded`, whatever the cause: lost replicas, a rollout, insufficient
capacity, or a lost etcd.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.memory.health import HealthMemory
from ecs_dynamo.model.service import good_number
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import Health, PlanBuilder
from ecs_dynamo.planning.healing.health import (
    is_confirmed,
    longest_detection_seconds,
    quick_detection_seconds,
)


def assess_serving(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Add why the graph serves nobody, if it served before and this has lasted for a while."""
    why, memory = _assess(context, builder.health)
    health = replace(builder.health, memory=memory)
    return replace(builder, health=health, serves_nobody=why)


def _assess(context: PlanContext, health: Health) -> tuple[str | None, HealthMemory]:
    """Return why the graph serves nobody, and the memory.

    While a needed component could not be observed, the last assessment is carried over.
    """
    memory, now = health.memory, context.now.monotonic
    needed = [s for s in context.components if _is_needed(s, memory)]
    if not any(s.component.is_frontend for s in needed):
        return None, replace(memory, unserved_since=None)
    notice = quick_detection_seconds(context.graph.runtime.lease_seconds)
    since = memory.unserved_since
    if any(s.name in context.doubts.unobserved for s in needed):
        lasts = since is not None and now - since >= notice
        return ("it did not when it was last observed" if lasts else None), memory
    working = {s.name for s in needed if _has_working_replica(context, s, health)}
    why = _missing_kinds(needed, working)
    if why is None:
        return None, replace(memory, served=True, unserved_since=None)
    if not memory.served and any(good_number(s.service) is None for s in needed):
        return None, replace(memory, unserved_since=None)
    since = now if since is None else since
    return (why if now - since >= notice else None), replace(memory, unserved_since=since)


def _is_needed(state: ComponentState, memory: HealthMemory) -> bool:
    """Return whether requests need a replica of the component.

    A component that scales up from zero may still be starting.
    """
    component = state.component
    if not state.desired or not (component.is_worker or component.is_frontend):
        return False
    started = component.scaling is None or component.scaling.min > 0
    return started or bool(memory.ready_baseline.get(component.name))


def _has_working_replica(context: PlanContext, state: ComponentState, health: Health) -> bool:
    """Return whether some replica is ready and not reported as hanging."""
    ready = state.observed.ready(state.observed.tasks)
    suspects = health.suspects(ready)
    notice = longest_detection_seconds(context.graph, state, suspects.keys())
    now = context.now.monotonic
    return any(
        t.arn not in suspects or not is_confirmed(suspects[t.arn], now, notice) for t in ready
    )


def _missing_kinds(needed: Iterable[ComponentState], working: Collection[str]) -> str | None:
    """Return which needed kinds have no working replica, in words; None if all have one."""
    frontends: list[str] = []
    workers: dict[str, list[str]] = {}
    for state in needed:
        if state.component.is_frontend:
            frontends.append(state.name)
        for kind in discovery_components(state.component):
            workers.setdefault(kind, []).append(state.name)
    missing = [
        f"no replica of {' or '.join(names)} is ready"
        for names in (frontends, *workers.values())
        if names and not any(name in working for name in names)
    ]
    return "; ".join(dict.fromkeys(missing)) or None
