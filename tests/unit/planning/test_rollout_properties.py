"""Rollouts that must not hurt: never registered, canary, drain, retention; on the simulated ECS.

Each pass is a fresh daemon's, unless memory is the point: all that a rollout needs is in ECS."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.telemetry.events import events_of
from ecs_dynamo.model.dynamo.discovery import Registration
from ecs_dynamo.model.plan import Memory, is_hold
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import (
    Container,
    Task,
)
from ecs_dynamo.planning import plan
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.facts import degraded, purposes_of
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.rollouts import DEADLINE, fresh_pass, ready_graph, rolls_by
from tests.helpers.simulated_ecs import SimulatedEcs


@given(
    decode=st.integers(1, 4),
    spare=st.integers(0, 4),
    least=st.sampled_from([100, 75, 50]),
    slow=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_revision_that_never_registers_is_rolled_back_while_the_old_side_serves(
    decode: int, spare: int, least: int, slow: int
) -> None:
    declared, ecs = ready_graph(decode, 1 + decode + spare, minimum_healthy_percent=least)
    ecs.mute_images.add("dynamo:mute")
    ecs.graph = edited = with_image(declared, "decode", "dynamo:mute")
    floor = math.ceil(decode * least / 100)
    if not spare:  # A place must be freed before it can be filled.
        floor = min(floor, decode - 1)
    reasons = set()
    ecs.slow = slow
    for _ in range(90):
        result = fresh_pass(ecs, edited)
        reasons.add(degraded(result, "decode"))
        assert len(ecs.serving("decode")) >= floor
        if result.stuck:
            break
    assert result.stuck
    assert "NeverRegistered" in reasons
    assert degraded(result, "decode") == "NeverRegistered"
    assert "never registered with Dynamo" in result.failures["decode"]
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:1"
    for _ in range(60):  # Held: nobody tries it again, and all replicas of the good one serve.
        result = fresh_pass(ecs, edited)
    assert not result.actions
    assert len(ecs.serving("decode")) == decode


def test_a_completed_deployment_that_never_registers_is_rolled_back_too() -> None:
    """With one replica and a full cluster the old one is gone, and ECS calls it COMPLETED."""
    declared, ecs = ready_graph(1, 2)
    ecs.mute_images.add("dynamo:mute")
    ecs.graph = edited = with_image(declared, "decode", "dynamo:mute")
    for _ in range(6):
        result = fresh_pass(ecs, edited)
    (service,) = (s for s in ecs.services.values() if s.component == "decode")
    assert {t.revision for t in service.tasks} == {service.revision}
    assert WaitPurpose.READINESS in purposes_of(result, "decode")
    for _ in range(60):
        result = fresh_pass(ecs, edited)
    assert degraded(result, "decode") == "NeverRegistered"
    assert len(ecs.serving("decode")) == 1


def test_a_good_revision_that_loses_its_registration_is_not_rolled_back() -> None:
    declared, ecs = ready_graph(2, 6)
    ecs.graph = declared = with_image(declared, "decode", "dynamo:2")
    converge(ecs, declared, Memory(started_at=ecs.now))
    for service in ecs.services.values():
        for task in service.tasks:
            task.mute = service.component == "decode"
    for _ in range(60):
        result = fresh_pass(ecs, declared)
    assert not [a for a in result.actions if is_hold(a)]
    assert degraded(result, "decode") is None
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:2"


def test_a_first_revision_that_never_registers_is_reported_and_left() -> None:
    declared = rolls_by(graph(), "decode", progress_deadline_seconds=DEADLINE)
    ecs = SimulatedEcs(declared)
    ecs.mute_images.add("dynamo:1")
    for _ in range(60):
        result = fresh_pass(ecs, declared)
    assert degraded(result, "decode") == "NeverRegistered"
    assert not result.actions
    # A frontend is not to blame for a model that nobody serves.
    assert degraded(result, "frontend") is None


def test_nobody_is_to_blame_while_etcd_does_not_answer() -> None:
    declared, ecs = ready_graph(2, 8)
    ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    for _ in range(3):
        fresh_pass(ecs, edited)
    ecs.now += DEADLINE
    observed = ecs.snapshot()
    infra = observed.components["etcd-nats"]
    deaf = replace(infra, probes={k: replace(p, healthy=False) for k, p in infra.probes.items()})
    known: tuple[Registration, ...] = ()
    blind = replace(
        observed, components={**observed.components, "etcd-nats": deaf}, registrations=known
    )
    assert (
        degraded(plan(edited, observed, Memory(ecs.now), ecs.clock), "decode") == "NeverRegistered"
    )
    result = plan(edited, blind, Memory(ecs.now), ecs.clock)
    assert degraded(result, "decode") is None
    assert not [a for a in result.actions if is_hold(a)]


def test_a_changed_reason_is_an_event_of_its_own() -> None:
    declared, ecs = ready_graph(1, 6)
    ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    before: Pass | None = None
    reported: list[str] = []
    for number in range(60):
        observed = ecs.snapshot()
        after = Pass(str(number), ecs.clock, 0.0, observed, fresh_pass(ecs, edited))
        reported += [e.message for e in events_of(before, after) if e.component == "decode"]
        before = after
    (event,) = (m for m in reported if m.startswith("Degraded is True"))
    assert event.startswith("Degraded is True (NeverRegistered): revision")


def test_frontends_that_list_no_model_are_rolled_back() -> None:
    declared = rolls_by(graph(frontends=2), "frontend", progress_deadline_seconds=DEADLINE)
    ecs = SimulatedEcs(declared, gpu_instances=8)
    converge(ecs, declared, Memory(started_at=ecs.now))
    ecs.mute_images.add("front:mute")
    ecs.graph = edited = with_image(declared, "frontend", "front:mute")
    for _ in range(60):
        result = fresh_pass(ecs, edited)
        assert len(ecs.serving("frontend")) >= 2
    assert degraded(result, "frontend") == "NoModelListed"
    assert "never listed a model" in result.failures["frontend"]


@pytest.mark.parametrize(
    ("reported", "word"),
    [
        (("EssentialContainerExited", "Essential container in task exited"), "CrashLoop"),
        (("TaskFailedToStart", "CannotPullContainerError: no such image"), "StartFailed"),
        (
            ("ServiceSchedulerInitiated", "Task failed container health checks"),
            "HealthCheckFailed",
        ),
    ],
)
@pytest.mark.parametrize("breaker", [True, False])
def test_each_way_to_fail_has_its_own_word(
    reported: tuple[str, str], word: str, breaker: bool
) -> None:
    declared, ecs = ready_graph(1, 6, circuit_breaker=breaker)
    ecs.crashes["dynamo:bad"] = reported
    ecs.graph = edited = with_image(declared, "decode", "dynamo:bad")
    memory = Memory(started_at=ecs.now)
    for _ in range(60):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        assert ecs.serving("decode")
    assert degraded(result, "decode") == word
    assert not result.actions
    # The reason is reported while it matters: ECS forgets stopped tasks after an hour.
    service = ecs.services["g-decode"]
    assert service.stopped
    for _ in range(3):
        message = next(
            c.message for c in result.conditions if c.type == "Degraded" and c.component == "decode"
        )
        assert reported[1] in message
        service.stopped.clear()
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        assert degraded(result, "decode") == word


def test_the_exit_of_a_replica_is_an_event_once_at_its_own_time() -> None:
    declared, ecs = ready_graph(2, 6)
    result = fresh_pass(ecs, declared)

    def look(*stopped: Task) -> Pass:
        observed = ecs.snapshot()
        decode = replace(observed.components["decode"], stopped=stopped)
        components = {**observed.components, "decode": decode}
        return Pass("p", ecs.clock, 0.1, replace(observed, components=components), result)

    def ended(name: str, ago: float) -> Task:
        (task, *_) = ecs.snapshot().components["decode"].tasks  # type: ignore[misc] # known here
        return replace(
            task,
            arn=f"arn:aws:ecs:r:1:task/c/{name}",
            last_status="STOPPED",
            stop_code="EssentialContainerExited",
            stopped_reason="Essential container in task exited",
            containers=(Container("decode", "STOPPED", exit_code=3, reason="CUDA error"),),
            stopped_at=ecs.now - ago,
        )

    first, second, old = ended("11111111aaaa", 20.0), ended("22222222bbbb", 5.0), ended("3", 9e3)
    events = [e for e in events_of(look(), look(first, old)) if e.kind == "exit"]
    assert [(e.component, e.at, e.warning) for e in events] == [("decode", ecs.now - 20.0, True)]
    assert "task 11111111" in events[0].message
    assert "container decode exited with code 3: CUDA error" in events[0].message
    again = [e for e in events_of(look(first, old), look(first, second, old)) if e.kind == "exit"]
    assert [e.message[:13] for e in again] == ["task 22222222"]
    assert not [e for e in events_of(None, look(first)) if e.kind == "exit"]


def test_insufficient_capacity_is_waited_for_and_distinguished() -> None:
    declared, ecs = ready_graph(2, 6)
    ecs.gpu_instances = 3
    ecs.graph = edited = replace(
        declared,
        components=tuple(
            replace(c, replicas=4) if c.name == "decode" else c for c in declared.components
        ),
    )
    for _ in range(60):
        result = fresh_pass(ecs, edited)
    short = {
        c.component: c.reason for c in result.conditions if c.type == "CapacityShort" and c.status
    }
    assert short == {"decode": "NoPlace"}
    assert degraded(result, "decode") is None


def test_slots_that_vanish_in_the_middle_of_a_surge_end_it_one_at_a_time() -> None:
    declared, ecs = ready_graph(2, 4)
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    result = plan(edited, ecs.snapshot(), Memory(ecs.now), ecs.clock)
    for action in result.actions:
        ecs.apply(action)
    ecs.gpu_instances = 3  # The free instance goes before ECS could place a task on it.
    converge(ecs, edited, Memory(started_at=ecs.now))
    service = ecs.services["g-decode"]
    assert (service.minimum, service.maximum) == (100, 200)
    assert {t.revision for t in service.tasks} == {service.revision}
