"""Rollouts that must not hurt: never registered, canary, drain, retention; on the simulated ECS.

Each pass is a fresh daemon's, unless memory is the point: all that a rollout needs is in ECS.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.telemetry.events import events_of
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.dynamo.discovery import Registration
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.graph import TAG_CANARY, TAG_GOOD, Graph
from ecs_dynamo.model.plan import Memory, Plan, RetireRevisions, is_hold
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import (
    Container,
    Task,
)
from ecs_dynamo.model.spec.rollout import (
    CanarySpec,
    RolloutSpec,
)
from ecs_dynamo.planning import plan
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.facts import purposes_of
from tests.helpers.graphs import (
    graph,
    with_image,
    with_rollout,
)
from tests.helpers.simulated_ecs import SimulatedEcs

DEADLINE = 300.0


def rolls_by(base: Graph, name: str, **changes: object) -> Graph:
    """``base`` with other rollout settings for one component."""
    return replace(
        base,
        components=tuple(
            with_rollout(c, **changes) if c.name == name else c for c in base.components
        ),
    )


def ready_graph(decode: int, gpus: int, **rollout: object) -> tuple[Graph, SimulatedEcs]:
    wanted = rolls_by(graph(decode=decode), "decode", progress_deadline_seconds=DEADLINE, **rollout)
    ecs = SimulatedEcs(wanted, gpu_instances=gpus)
    converge(ecs, wanted, Memory(started_at=ecs.now))
    return wanted, ecs


def fresh_pass(ecs: SimulatedEcs, wanted: Graph) -> Plan:
    """A pass of a daemon that has just started; just since when replicas are ready it has seen:
    that they stay so for a lease takes a daemon that stays."""
    made = run_pass(ecs, wanted, Memory(started_at=ecs.now, ready_since=ecs.ready_since))
    ecs.ready_since = dict(made.memory.ready_since)
    return made


def degraded(made: Plan, name: str) -> str | None:
    """The reason word of the component's Degraded condition, where it holds."""
    return next(
        (
            c.reason
            for c in made.conditions
            if c.type is ConditionType.DEGRADED and c.component == name and c.status
        ),
        None,
    )


@given(
    decode=st.integers(1, 4),
    spare=st.integers(0, 4),
    least=st.sampled_from([100, 75, 50]),
    slow=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_revision_that_never_registers_is_taken_back_while_the_old_side_serves(
    decode: int, spare: int, least: int, slow: int
) -> None:
    wanted, ecs = ready_graph(decode, 1 + decode + spare, minimum_healthy_percent=least)
    ecs.mute_images.add("dynamo:mute")
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:mute")
    floor = math.ceil(decode * least / 100)
    if not spare:  # A place must be freed before it can be filled.
        floor = min(floor, decode - 1)
    reasons = set()
    ecs.slow = slow
    for _ in range(90):
        made = fresh_pass(ecs, edited)
        reasons.add(degraded(made, "decode"))
        assert len(ecs.serving("decode")) >= floor
        if made.stuck:
            break
    assert made.stuck
    assert "NeverRegistered" in reasons
    assert degraded(made, "decode") == "NeverRegistered"
    assert "never registered with Dynamo" in made.failures["decode"]
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:1"
    for _ in range(60):  # Held: nobody tries it again, and all replicas of the good one serve.
        made = fresh_pass(ecs, edited)
    assert not made.actions
    assert len(ecs.serving("decode")) == decode


def test_a_completed_deployment_that_never_registers_is_taken_back_too() -> None:
    """With one replica and a full cluster the old one is gone, and ECS calls it COMPLETED."""
    wanted, ecs = ready_graph(1, 2)
    ecs.mute_images.add("dynamo:mute")
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:mute")
    for _ in range(6):
        made = fresh_pass(ecs, edited)
    (service,) = (s for s in ecs.services.values() if s.component == "decode")
    assert {t.revision for t in service.tasks} == {service.revision}
    assert WaitPurpose.READINESS in purposes_of(made, "decode")
    for _ in range(60):
        made = fresh_pass(ecs, edited)
    assert degraded(made, "decode") == "NeverRegistered"
    assert len(ecs.serving("decode")) == 1


def test_a_good_revision_that_loses_its_registration_is_not_taken_back() -> None:
    wanted, ecs = ready_graph(2, 6)
    ecs.graph = wanted = with_image(wanted, "decode", "dynamo:2")
    converge(ecs, wanted, Memory(started_at=ecs.now))
    for service in ecs.services.values():
        for task in service.tasks:
            task.mute = service.component == "decode"
    for _ in range(60):
        made = fresh_pass(ecs, wanted)
    assert not [a for a in made.actions if is_hold(a)]
    assert degraded(made, "decode") is None
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:2"


def test_a_first_revision_that_never_registers_is_told_and_left() -> None:
    wanted = rolls_by(graph(), "decode", progress_deadline_seconds=DEADLINE)
    ecs = SimulatedEcs(wanted)
    ecs.mute_images.add("dynamo:1")
    for _ in range(60):
        made = fresh_pass(ecs, wanted)
    assert degraded(made, "decode") == "NeverRegistered"
    assert not made.actions
    # A frontend is not to blame for a model that nobody serves.
    assert degraded(made, "frontend") is None


def test_nobody_is_to_blame_while_etcd_does_not_answer() -> None:
    wanted, ecs = ready_graph(2, 8)
    ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    for _ in range(3):
        fresh_pass(ecs, edited)
    ecs.now += DEADLINE
    seen = ecs.snapshot()
    infra = seen.components["etcd-nats"]
    deaf = replace(infra, probes={k: replace(p, healthy=False) for k, p in infra.probes.items()})
    known: tuple[Registration, ...] = ()
    blind = replace(seen, components={**seen.components, "etcd-nats": deaf}, registrations=known)
    assert degraded(plan(edited, seen, Memory(ecs.now), ecs.clock), "decode") == "NeverRegistered"
    made = plan(edited, blind, Memory(ecs.now), ecs.clock)
    assert degraded(made, "decode") is None
    assert not [a for a in made.actions if is_hold(a)]


def test_a_changed_reason_is_an_event_of_its_own() -> None:
    wanted, ecs = ready_graph(1, 6)
    ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    before: Pass | None = None
    told: list[str] = []
    for number in range(60):
        seen = ecs.snapshot()
        after = Pass(str(number), ecs.clock, 0.0, seen, fresh_pass(ecs, edited))
        told += [e.message for e in events_of(before, after) if e.component == "decode"]
        before = after
    (event,) = (m for m in told if m.startswith("Degraded is True"))
    assert event.startswith("Degraded is True (NeverRegistered): revision")


def test_frontends_that_list_no_model_are_taken_back() -> None:
    wanted = rolls_by(graph(frontends=2), "frontend", progress_deadline_seconds=DEADLINE)
    ecs = SimulatedEcs(wanted, gpu_instances=8)
    converge(ecs, wanted, Memory(started_at=ecs.now))
    ecs.mute_images.add("front:mute")
    ecs.graph = edited = with_image(wanted, "frontend", "front:mute")
    for _ in range(60):
        made = fresh_pass(ecs, edited)
        assert len(ecs.serving("frontend")) >= 2
    assert degraded(made, "frontend") == "NoModelListed"
    assert "never listed a model" in made.failures["frontend"]


@pytest.mark.parametrize(
    ("told", "word"),
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
def test_each_way_to_fail_has_its_own_word(told: tuple[str, str], word: str, breaker: bool) -> None:
    wanted, ecs = ready_graph(1, 6, circuit_breaker=breaker)
    ecs.crashes["dynamo:bad"] = told
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:bad")
    memory = Memory(started_at=ecs.now)
    for _ in range(60):
        made = run_pass(ecs, edited, memory)
        memory = made.memory
        assert ecs.serving("decode")
    assert degraded(made, "decode") == word
    assert not made.actions
    # The reason is reported while it matters: ECS forgets stopped tasks after an hour.
    service = ecs.services["g-decode"]
    assert service.stopped
    for _ in range(3):
        message = next(
            c.message for c in made.conditions if c.type == "Degraded" and c.component == "decode"
        )
        assert told[1] in message
        service.stopped.clear()
        made = run_pass(ecs, edited, memory)
        memory = made.memory
        assert degraded(made, "decode") == word


def test_the_exit_of_a_replica_is_an_event_once_at_its_own_time() -> None:
    wanted, ecs = ready_graph(2, 6)
    made = fresh_pass(ecs, wanted)

    def look(*stopped: Task) -> Pass:
        seen = ecs.snapshot()
        decode = replace(seen.components["decode"], stopped=stopped)
        components = {**seen.components, "decode": decode}
        return Pass("p", ecs.clock, 0.1, replace(seen, components=components), made)

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


def test_a_lack_of_places_is_waited_for_and_told_apart() -> None:
    wanted, ecs = ready_graph(2, 6)
    ecs.gpu_instances = 3
    ecs.graph = edited = replace(
        wanted,
        components=tuple(
            replace(c, replicas=4) if c.name == "decode" else c for c in wanted.components
        ),
    )
    for _ in range(60):
        made = fresh_pass(ecs, edited)
    short = {
        c.component: c.reason for c in made.conditions if c.type == "CapacityShort" and c.status
    }
    assert short == {"decode": "NoPlace"}
    assert degraded(made, "decode") is None


def test_slots_that_vanish_in_the_middle_of_a_surge_end_it_one_at_a_time() -> None:
    wanted, ecs = ready_graph(2, 4)
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    made = plan(edited, ecs.snapshot(), Memory(ecs.now), ecs.clock)
    for action in made.actions:
        ecs.apply(action)
    ecs.gpu_instances = 3  # The free instance goes before ECS could place a task on it.
    converge(ecs, edited, Memory(started_at=ecs.now))
    service = ecs.services["g-decode"]
    assert (service.minimum, service.maximum) == (100, 200)
    assert {t.revision for t in service.tasks} == {service.revision}


# Canary --------------------------------------------------------------------------------------


@given(decode=st.integers(1, 5), spare=st.integers(0, 5), bake=st.sampled_from([0, 60, 300]))
@settings(max_examples=40, deadline=None)
def test_a_good_canary_is_alone_until_it_has_baked_and_is_then_promoted(
    decode: int, spare: int, bake: float
) -> None:
    wanted, ecs = ready_graph(decode, 1 + decode + spare, canary=CanarySpec(bake_seconds=bake))
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    first_ready: float | None = None
    for _ in range(120):
        made = fresh_pass(ecs, edited)
        new = [t for t in service.tasks if ecs._image(t.revision) == "dynamo:2"]
        old = [t for t in service.tasks if t not in new]
        if any(t.age >= 1 for t in new) and first_ready is None:
            first_ready = ecs.now
        if "promoted" not in service.tags.get(TAG_CANARY, ""):
            assert len(new) <= 1
            assert len(old) >= decode - (not spare)
        elif first_ready is not None:
            assert ecs.now - first_ready >= bake
        if made.converged:
            break
    assert made.converged
    assert {ecs._image(t.revision) for t in service.tasks} == {"dynamo:2"}
    assert (service.minimum, service.maximum) == (100, 200)
    assert service.tags[TAG_GOOD] == "2"


@given(decode=st.integers(1, 4), spare=st.integers(0, 3), how=st.sampled_from(["mute", "dies"]))
@settings(max_examples=30, deadline=None)
def test_a_bad_canary_is_taken_back_while_the_others_serve(
    decode: int, spare: int, how: str
) -> None:
    # The only replica of a full cluster has nobody beside it: there is no canary then.
    assume(decode + spare > 1 or how == "mute")
    wanted, ecs = ready_graph(
        decode, 1 + decode + spare, canary=CanarySpec(bake_seconds=120), circuit_breaker=False
    )
    if how == "mute":
        ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    died: int | None = None
    for number in range(120):
        if how == "dies" and "baking" in service.tags.get(TAG_CANARY, ""):
            # It was ready, and then exits each time.
            ecs.crashes["dynamo:2"] = ("EssentialContainerExited", "exited")
            died = died if died is not None else number
            for task in service.tasks:
                task.bad = ecs._image(task.revision) == "dynamo:2"
        made = fresh_pass(ecs, edited)
        assert len(ecs.serving("decode")) >= decode - (not spare), number
        if made.stuck:
            break
    assert made.stuck
    # At once, not by its deadline; ECS replaces all by a new deployment, one at a time at worst,
    # and each of them stays ready for a lease (three steps) before the next goes.
    assert died is None or number - died < 10 + 5 * decode
    assert degraded(made, "decode") == ("NeverRegistered" if how == "mute" else "CanaryFailed")
    for _ in range(10):
        made = fresh_pass(ecs, edited)
    assert not made.actions
    assert {ecs._image(t.revision) for t in service.tasks} == {"dynamo:1"}


def test_a_canary_without_a_request_waits_while_others_serve_but_not_for_ever() -> None:
    wanted, ecs = ready_graph(2, 6, canary=CanarySpec(bake_seconds=100))
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    ecs.served_by = {t.arn for t in service.tasks}
    seen = []
    for _ in range(40):
        made = fresh_pass(ecs, edited)
        seen += [w.reason for w in made.waits if w.component == "decode"]
        if made.converged:
            break
    assert made.converged
    waited = [s for s in seen if s == "the canary has had no request yet"]
    assert 5 <= len(waited) <= 15
    assert any("bakes for" in s for s in seen)


# Draining ------------------------------------------------------------------------------------


@given(
    decode=st.integers(2, 4),
    spare=st.integers(0, 4),
    busy=st.sets(st.integers(0, 3)),
    work=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_a_roll_lets_work_in_hand_finish_within_the_drain_time_and_no_longer(
    decode: int, spare: int, busy: set[int], work: int
) -> None:
    wanted, ecs = ready_graph(decode, 1 + decode + spare)
    drain = wanted.runtime.drain_seconds
    ecs.graph = edited = with_image(wanted, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    old = list(service.tasks)
    ecs.busy = {t.arn for i, t in enumerate(old) if i in busy}
    spared: dict[str, float] = {}
    for number in range(120):
        if number == work:
            ecs.busy = set()
        before = {t.arn for t in service.tasks}
        idle = [t.arn for t in old if t.arn in before and t.arn not in ecs.busy]
        made = fresh_pass(ecs, edited)
        gone = before - {t.arn for t in service.tasks}
        fresh = sum(t.age >= 1 for t in service.tasks if t not in old)
        room = fresh + sum(t.arn in before for t in old) - decode
        for arn in before & ecs.busy:
            if room > len(idle):
                spared.setdefault(arn, ecs.now)
        for arn in gone & ecs.busy:
            # A busy replica is released only after idle ones, and after its drain time.
            assert not set(idle) - gone
            assert ecs.now - spared.get(arn, 0.0) >= drain
        if made.converged:
            break
    assert made.converged
    # Each step waits for one drain time at most (whole minutes, with a margin).
    assert number * 10 <= 100 + decode * (math.ceil(drain / 60) * 60 + 60 + 60)


# Retention -----------------------------------------------------------------------------------


@given(keep=st.integers(1, 4), edits=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_old_revisions_are_kept_to_the_declared_number(keep: int, edits: int) -> None:
    wanted, ecs = ready_graph(1, 6, keep_revisions=keep)
    for number in range(2, edits + 2):
        ecs.graph = wanted = with_image(wanted, "decode", f"dynamo:{number}")
        converge(ecs, wanted, Memory(started_at=ecs.now))
        family = [r.number for r in ecs.revisions.values() if r.family == "g-decode"]
        assert family == list(range(max(1, number - keep + 1), number + 1))
    made = fresh_pass(ecs, wanted)
    assert made.converged
    assert not made.actions


def test_the_last_good_revision_outlives_the_number_that_is_kept() -> None:
    wanted, ecs = ready_graph(1, 6, keep_revisions=1)
    ecs.mute_images |= {f"dynamo:{n}" for n in range(2, 9)}
    for number in range(2, 6):
        ecs.graph = wanted = with_image(wanted, "decode", f"dynamo:{number}")
        for _ in range(3):  # Given up before its deadline, for another that is no better.
            made = fresh_pass(ecs, wanted)
            assert not [a for a in made.actions if isinstance(a, RetireRevisions)]
    for _ in range(60):
        made = fresh_pass(ecs, wanted)
    assert degraded(made, "decode") == "NeverRegistered"
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:1"


def test_rollout_settings_are_refused_where_they_mean_nothing() -> None:
    from pydantic import ValidationError

    from ecs_dynamo.model.spec.component import ComponentSpec
    from ecs_dynamo.model.spec.infrastructure import InfrastructureSpec

    canary = RolloutSpec(canary=CanarySpec())
    with pytest.raises(ValidationError, match="for workers, not for a frontend"):
        ComponentSpec(name="f", type="frontend", task_definition="x", rollout=canary)
    with pytest.raises(ValidationError, match="for workers"):
        InfrastructureSpec(task_definition="x", rollout=canary)


# Instances that leave ------------------------------------------------------------------------


@given(decode=st.integers(1, 4), count=st.integers(1, 3), spare=st.integers(0, 4), data=st.data())
@settings(max_examples=50, deadline=None)
def test_replacements_start_beside_what_a_draining_instance_takes_away(
    decode: int, count: int, spare: int, data: st.DataObject
) -> None:
    wanted, ecs = ready_graph(decode, 1 + decode + spare)
    service = ecs.services["g-decode"]
    before = list(service.tasks)
    going = data.draw(st.permutations(before))[: min(count, decode)]
    ecs.busy = {before[i].arn for i in data.draw(st.sets(st.integers(0, decode - 1)))}
    ecs.slow = data.draw(st.integers(0, 4), "steps until a replacement registers")
    ecs.drained |= {t.instance for t in going if t.instance is not None}
    for number in range(60):
        made = fresh_pass(ecs, wanted)
        # No replica is released before its replacement is ready, if there is any capacity.
        assert len(ecs.serving("decode")) >= decode
        if number == 20:
            ecs.gpu_instances += count  # More instances come; until then some wait for a place.
        if made.converged:
            break
    assert made.converged
    assert not [t for t in service.tasks if ecs.leaves(t)]
    assert len(service.tasks) == decode
    assert (service.minimum, service.maximum) == (100, 200)


@given(spare=st.integers(0, 2), rebalance=st.booleans(), decode=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_a_spot_notice_drains_its_instance_and_leaves_time_to_finish(
    spare: int, rebalance: bool, decode: int
) -> None:
    wanted, ecs = ready_graph(decode, 1 + decode + spare)
    service = ecs.services["g-decode"]
    going = service.tasks[0]
    assert going.instance is not None
    ecs.notices = {f"i-{going.instance}": Notice(ecs.now, interruption=not rebalance)}
    noticed = ecs.now
    for _ in range(14):
        fresh_pass(ecs, wanted)
        if going not in service.tasks:
            break
    assert ecs.drained == {going.instance}
    if rebalance and not spare:
        assert going in service.tasks  # No place for another, and no end is certain.
    else:
        assert going not in service.tasks
        assert ecs.now - noticed <= 110
    if spare:
        assert len(ecs.serving("decode")) >= decode
    foreign = Notice(ecs.now, interruption=True)
    ecs.notices = {"i-999": foreign}
    ecs.gpu_instances += 1
    converge(ecs, wanted, Memory(started_at=ecs.now))
    assert ecs.drained == {going.instance}
    assert (service.minimum, service.maximum) == (100, 200)
