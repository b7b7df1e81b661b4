"""Facts and contexts of single passes, for tests of single functions of planning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import Memory, Plan
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.observed.facts import ObservedComponent, ObservedGraph, observe_graph


def ready_tasks(
    graph: Graph, component: Component, snapshot: Snapshot, *, proven: bool = False
) -> tuple[Task, ...]:
    """Return the component's ready tasks, in ARN order."""
    observed = observe_graph(graph, snapshot).components.get(component.name)
    if observed is None:
        return ()
    ready = observed.proven_ready if proven else observed.ready
    return ready(observed.tasks)


def state_of(
    component: Component, observed: ComponentSnapshot | ObservedComponent, **changes: Any
) -> ComponentState:
    """Return the state of a component without content, desired once."""
    if isinstance(observed, ComponentSnapshot):
        observed = ObservedComponent(component, observed)
    values: dict[str, Any] = {"content": None, "fingerprint": None, "desired": 1, **changes}
    return ComponentState(component, observed, **values)


def with_snapshot(state: ComponentState, **changes: Any) -> ComponentState:
    """Return the state with another snapshot of its component."""
    snapshot = replace(state.observed.snapshot, **changes)
    return replace(state, observed=replace(state.observed, snapshot=snapshot))


def context_of(observed: ObservedGraph, *states: ComponentState, **changes: Any) -> PlanContext:
    """Return a context in which planning may act on ``states``, at the time of the snapshot."""
    now = Now.at(observed.snapshot.observed_at)
    values: dict[str, Any] = {
        "memory": Memory(started_at=0.0),
        "now": now,
        "ports": plan_ports(observed.graph),
        "components": states,
        **changes,
    }
    return PlanContext(observed=observed, **values)


def purposes_of(plan: Plan, component: str) -> list[WaitPurpose]:
    """Return the purposes of the waits of a component, in order."""
    return [w.purpose for w in plan.waits if w.component == component]


def with_component(snapshot: Snapshot, name: str, part: ComponentSnapshot) -> Snapshot:
    """Return the snapshot with another observation of one component."""
    return replace(snapshot, components={**snapshot.components, name: part})


def degraded(result: Plan, component: str | None) -> str | None:
    """Return the reason word of Degraded of a component, or of the graph (None), if it holds."""
    return next(
        (
            c.reason
            for c in result.conditions
            if c.type is ConditionType.DEGRADED and c.component == component and c.status
        ),
        None,
    )
