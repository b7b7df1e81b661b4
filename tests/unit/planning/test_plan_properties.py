"""The invariants of the plan, from any state that a finite number of faults can lead to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import (
    CreateService,
    DeleteService,
    Memory,
    ProtectTasks,
    RegisterTaskDefinition,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.snapshot import Signal, SignalKind, Unknown
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning import plan
from tests.helpers.convergence import converge, run_pass
from tests.helpers.facts import purposes_of
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

FAULTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["kill"]),
            st.sampled_from(["etcd-nats", "frontend", "prefill", "decode"]),
        ),
        st.tuples(st.sampled_from(["crash"]), st.integers(0, 4)),
        st.tuples(st.sampled_from(["image"]), st.sampled_from(["etcd-nats", "frontend", "decode"])),
        st.tuples(st.sampled_from(["wait"]), st.integers(1, 6)),
    ),
    max_size=8,
)


def suffer(
    ecs: SimulatedEcs, declared: Graph, faults: list[tuple[str, object]]
) -> tuple[Graph, Memory]:
    """Have ``faults`` happen to a fresh daemon; the graph and the memory at their end."""
    memory = Memory(started_at=ecs.now)
    for number, (kind, value) in enumerate(faults):
        match kind, value:
            case "kill", str():
                ecs.kill(value)
            case "image", str():
                declared = with_image(declared, value, f"image:{number}")
                ecs.graph = declared
            case "wait", int():
                for _ in range(value):
                    memory = run_pass(ecs, declared, memory).memory
            case "crash", int():
                run_pass(ecs, declared, memory, stop_after=value)
                memory = Memory(started_at=ecs.now)
    return declared, memory


@given(
    faults=FAULTS,
    prefill=st.integers(0, 3),
    decode=st.integers(1, 2),
    frontends=st.integers(1, 2),
    gpus=st.integers(5, 10),
)
@settings(max_examples=60, deadline=None)
def test_converges_after_finite_faults_and_then_writes_nothing(
    faults: list[tuple[str, object]], prefill: int, decode: int, frontends: int, gpus: int
) -> None:
    declared = graph(prefill=prefill, decode=decode, frontends=frontends)
    ecs = SimulatedEcs(declared, gpu_instances=gpus)
    declared, memory = suffer(ecs, declared, faults)
    converge(ecs, declared, memory)
    before = ecs.writes
    again = run_pass(ecs, declared, Memory(started_at=ecs.now))
    assert again.converged
    assert ecs.writes == before
    assert ecs.served() == (prefill + decode > 0)
    assert all(ready for _, _, ready in ecs.injected_at_start)
    for component in declared.components:
        assert ecs.services[component.service].desired == component.replicas


@given(name=st.sampled_from(["etcd-nats", "frontend", "prefill", "decode"]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_unknown_is_never_taken_for_absent(name: str, data: st.DataObject) -> None:
    declared = graph()
    ecs = SimulatedEcs(declared)
    converge(ecs, declared, Memory(started_at=ecs.now))
    observed = ecs.snapshot()
    part = data.draw(st.sampled_from(["service", "tasks", "revision", "orphans"]))
    unknown = Unknown("ThrottlingException")
    if part == "orphans":
        observed = replace(observed, orphans=unknown)
    else:
        change: dict[str, Any] = {part: unknown}
        hidden = replace(observed.components[name], **change)
        observed = replace(observed, components={**observed.components, name: hidden})
    result = plan(
        with_image(declared, name, "image:2"), observed, Memory(started_at=ecs.now), ecs.clock
    )
    assert not result.converged
    assert not [a for a in result.actions if isinstance(a, CreateService | DeleteService)]
    if part != "orphans":
        assert not [a for a in result.actions if a.component == name]


@given(st.sampled_from(["frontend", "prefill", "decode", "etcd-nats"]))
def test_a_foreign_service_of_the_same_name_is_left_alone(name: str) -> None:
    declared = graph()
    ecs = SimulatedEcs(declared)
    converge(ecs, declared, Memory(started_at=ecs.now))
    ecs.services[f"g-{name}"].tags.clear()
    result = plan(with_image(declared, name, "image:2"), ecs.snapshot(), Memory(ecs.now), ecs.clock)
    assert not [
        a
        for a in result.actions
        if a.component == name and not isinstance(a, RegisterTaskDefinition)
    ]
    assert WaitPurpose.OBSTACLE in purposes_of(result, name)


SPEC = SloScaling(
    min=1, max=4, target=4, scale_down_stabilization_seconds=120, max_signal_age_seconds=30
)


@given(
    demands=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 60)), min_size=1, max_size=40),
    restarts=st.sets(st.integers(0, 40), max_size=3),
)
@settings(max_examples=80, deadline=None)
def test_scaling_stays_in_bounds_never_acts_on_stale_and_never_reverses_in_its_window(
    demands: list[tuple[float, float]], restarts: set[int]
) -> None:
    declared = graph(scaling=SPEC)
    ecs = SimulatedEcs(declared, gpu_instances=10)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    raised_at = float("-inf")
    for index, (value, age) in enumerate(demands):
        if index in restarts:
            memory = Memory(started_at=ecs.now)
        ecs.signals = (Signal("prefill", SignalKind.QUEUE_DEPTH, value, "requests", ecs.now - age),)
        before = ecs.services["g-prefill"].desired
        now = ecs.now
        memory = run_pass(ecs, declared, memory).memory
        after = ecs.services["g-prefill"].desired
        assert SPEC.min <= after <= SPEC.max
        if age > SPEC.max_signal_age_seconds:
            assert after == before
        if after > before:
            raised_at = now
        if after < before:
            assert now - raised_at >= SPEC.scale_down_stabilization_seconds
            assert now - memory.started_at >= SPEC.scale_down_stabilization_seconds
        assert after - before <= SPEC.step_up(before)
        assert before - after <= SPEC.step_down(before)


def test_plan_is_pure() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared)
    observed = ecs.snapshot()
    memory = Memory(started_at=ecs.now)
    assert plan(declared, observed, memory, ecs.clock) == plan(
        declared, observed, memory, ecs.clock
    )


def test_moved_etcd_rolls_every_dependant_at_once_and_keeps_the_old_side() -> None:
    declared = graph(prefill=2)
    ecs = SimulatedEcs(declared, gpu_instances=8)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.kill("etcd-nats")
    outage = 0
    for _ in range(30):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        outage += not ecs.served()
        rolled = {
            a.component for a in result.actions if isinstance(a, UpdateService) and a.revision
        }
        if rolled:
            assert rolled == {"frontend", "prefill", "decode"}
            kinds = [type(a).__name__ for a in result.actions]
            assert kinds[:3] == ["ProtectTasks"] * 3
        if result.converged:
            break
    assert result.converged
    assert outage == 0


def test_planned_change_of_etcd_keeps_the_graph_serving() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared, gpu_instances=8)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.graph = declared = with_image(declared, "etcd-nats", "etcd:2")
    outages = 0
    for _ in range(60):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        outages += not ecs.served()
        if result.converged:
            break
    assert result.converged
    assert outages == 0


def test_an_old_side_goes_frontends_first_then_workers_then_etcd() -> None:
    declared = graph(prefill=2)
    ecs = SimulatedEcs(declared, gpu_instances=8)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.graph = declared = with_image(declared, "etcd-nats", "etcd:2")
    order: list[str] = []
    routed_at = None
    for _ in range(60):
        result = run_pass(ecs, declared, memory, seconds=1.0)
        memory = result.memory
        freed = {
            a.component
            for a in result.actions
            if isinstance(a, ProtectTasks) and a.purpose is ActionPurpose.NEW_SIDE_READY
        }
        order += sorted(freed)
        new = [t for t in ecs.services["g-frontend"].tasks if t.revision.endswith(":2")]
        if routed_at is None and any(ecs._routed(t.arn) for t in new):
            routed_at = ecs.now
        if "frontend" in freed:
            # Clients have had time to find the new one.
            assert routed_at is not None
            assert ecs.now - routed_at >= 5.0
        if result.converged:
            break
    assert result.converged
    assert order == ["frontend", "decode", "prefill", "etcd-nats"]


def test_a_template_change_rolls_workers_before_frontends_one_at_a_time() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared, gpu_instances=8)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    for name in ("frontend", "prefill", "decode"):
        declared = with_image(declared, name, "dynamo:2")
    ecs.graph = declared
    order: list[str] = []
    for _ in range(60):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        order += [
            a.component for a in result.actions if isinstance(a, UpdateService) and a.revision
        ]
        assert ecs.served()
        if result.converged:
            break
    assert order == ["decode", "prefill", "frontend"]


def test_a_bad_image_rolls_back_is_reported_and_not_tried_again() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared, gpu_instances=8)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.bad_images.add("dynamo:bad")
    ecs.graph = declared = with_image(declared, "decode", "dynamo:bad")
    for _ in range(20):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        assert ecs.served()
    assert not result.actions
    assert any(w.purpose is WaitPurpose.NEW_DECLARATION for w in result.waits)
    assert any(c.reason == ConditionReason.ROLLOUT_FAILED and c.status for c in result.conditions)


def test_a_full_gpu_cluster_replaces_one_at_a_time_and_restores_the_limits() -> None:
    declared = graph(prefill=2, decode=1)
    ecs = SimulatedEcs(declared, gpu_instances=3)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.graph = declared = with_image(declared, "prefill", "dynamo:2")
    converge(ecs, declared, memory)
    service = ecs.services["g-prefill"]
    assert (service.minimum, service.maximum) == (100, 200)


def test_what_is_no_longer_declared_is_retired_last() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.graph = declared = replace(
        declared, components=tuple(c for c in declared.components if c.name != "prefill")
    )
    result = run_pass(ecs, declared, memory)
    assert [type(a) for a in result.actions] == [DeleteService]
    assert "g-prefill" not in ecs.services
