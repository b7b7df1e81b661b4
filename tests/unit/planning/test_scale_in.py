"""Busy replicas in a scale-in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.plan import (
    Memory,
)
from ecs_dynamo.model.snapshot import (
    Signal,
    SignalKind,
    Unknown,
)
from ecs_dynamo.model.spec.scaling import (
    QueueScaling,
)
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.rollout.protection import protect_busy_tasks
from tests.helpers.convergence import (
    converged,
    run_pass,
)
from tests.helpers.facts import context_of, state_of
from tests.helpers.graphs import (
    graph,
)
from tests.helpers.simulated_ecs import SimulatedEcs


@given(busy=st.sets(st.integers(0, 3), max_size=4), count=st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_scale_in_takes_idle_replicas_first(busy: set[int], count: int) -> None:
    scaling = QueueScaling(min=1, max=4, target=1, scale_down_stabilization_seconds=0)
    declared = graph(prefill=count, scaling=scaling)
    ecs = SimulatedEcs(declared, gpu_instances=8)

    def demand(value: float) -> None:
        ecs.signals = (Signal("prefill", SignalKind.QUEUE_DEPTH, value, "requests", ecs.now),)

    memory = Memory(started_at=ecs.now)
    for _ in range(20):
        demand(float(count))
        memory = run_pass(ecs, declared, memory).memory
    tasks = ecs.services["g-prefill"].tasks
    assert len(tasks) == count
    ecs.busy = {tasks[i].arn for i in busy if i < count}
    for _ in range(8):
        demand(0.0)
        before = {t.arn for t in ecs.services["g-prefill"].tasks}
        memory = run_pass(ecs, declared, memory).memory
        left = {t.arn for t in ecs.services["g-prefill"].tasks}
        gone = before - left
        # While an idle one is there, no busy one goes.
        assert not gone & ecs.busy
    assert ecs.busy <= left
    assert len(left) == max(1, len(ecs.busy))
    ecs.busy = set()
    for _ in range(8):
        demand(0.0)
        memory = run_pass(ecs, declared, memory).memory
    assert len(ecs.services["g-prefill"].tasks) == 1


def test_who_is_busy_may_not_be_known() -> None:
    declared = graph(prefill=2)
    ecs, _ = converged(declared)
    observation = replace(ecs.snapshot(), busy=Unknown("no frontend told"))
    unknown = observe_graph(declared, observation)
    component = state_of(declared.component("prefill"), unknown.components["prefill"])
    assert component.observed.busy is None
    assert protect_busy_tasks(context_of(unknown, component), component) == []
    known = observe_graph(declared, replace(observation, busy={}))
    component = state_of(declared.component("prefill"), known.components["prefill"], desired=2)
    assert component.observed.busy == frozenset()
    assert protect_busy_tasks(context_of(known, component), component) == []
