"""Lost replicas are reported in time and replaced with care; serving ones are never stopped."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.discovery import (
    ModelCard,
    NoAnswer,
    WorkerPage,
)
from ecs_dynamo.model.graph import TAG_GOOD
from ecs_dynamo.model.plan import Memory, Plan, StopTask, is_hold
from ecs_dynamo.model.snapshot import (
    ContainerInstance,
    Snapshot,
    Unknown,
)
from ecs_dynamo.model.spec.graph import RuntimeSpec
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.healing.health import (
    detection_seconds,
    quick_detection_seconds,
)
from ecs_dynamo.planning.healing.replacement import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
)
from tests.helpers.graphs import with_image
from tests.helpers.sick_replicas import (
    STEP,
    Ward,
    degraded,
    running,
)
from tests.helpers.simulated_services import lease_of


@pytest.mark.parametrize(("lease", "seconds"), [(1, 5), (5, 7.5), (10, 15), (30, 15), (600, 15)])
def test_the_time_until_something_is_told_follows_from_the_lease(
    lease: float, seconds: float
) -> None:
    assert detection_seconds(lease) == seconds
    assert quick_detection_seconds(lease) == min(seconds, 8)


def first(ward: Ward, reason: str, component: str | None, within: float) -> float:
    """After how many seconds the reason is told."""
    began = ward.now
    while True:
        at = ward.now
        if degraded(ward.pass_(), component) == reason:
            return at - began
        assert ward.now - began <= within, ward.plans[-1].conditions


def test_one_that_hangs_and_is_dropped_is_replaced_and_its_revision_stays_good() -> None:
    ward = Ward(decode=2)
    service = ward.ecs.services["g-decode"]
    good, revision = service.tags[TAG_GOOD], service.revision
    hung = ward.hang(0)
    assert first(ward, "ReplicaHangs", "decode", 30) >= 15
    assert ward.plans[-1].lost == {"decode": 1}
    assert not ward.plans[-1].serves_nobody
    assert ward.stopped == []  # It is registered: frontends may route to it.
    ward.dropped.add(hung)
    ward.passes(15)
    assert ward.stops() == [hung]
    (_, action) = ward.stopped[0]
    assert action.why.startswith("ecs-dynamo: it has not answered for ")
    assert action.service == "g-decode"
    made = ward.passes(60)
    assert made.converged
    assert made.lost == {}
    assert degraded(made, "decode") is None
    assert len(ward.tasks()) == 2
    assert (service.tags[TAG_GOOD], service.revision) == (good, revision)
    assert ward.stops() == [hung]


def test_the_condition_lasts_until_a_replacement_is_ready() -> None:
    ward = Ward(decode=2)
    ward.dropped.add(ward.hang(0))
    ward.ecs.slow = 6
    words = [degraded(ward.pass_(), "decode") for _ in range(20)]
    assert [w for w, n in pairwise([*words, "end"]) if w != n] == [
        None,
        "ReplicaHangs",
        "ReplicaLost",
        None,
    ]


def test_one_that_answers_and_is_not_registered_gets_time_to_come_back() -> None:
    ward = Ward(decode=2)
    lost = ward.arn(0)
    ward.dropped.add(lost)
    assert first(ward, "RegistrationLost", "decode", 30) >= 15
    ward.dropped.clear()
    ward.passes(60)
    assert ward.stopped == []
    began = ward.now
    ward.dropped.add(lost)
    ward.passes(60)
    assert ward.stops() == [lost]
    assert ward.stopped[0][0] - began >= 30
    assert "has had no registration" in ward.stopped[0][1].why


def test_requests_in_hand_of_one_that_lost_its_registration_get_the_drain_time() -> None:
    ward = Ward(decode=2, runtime=RuntimeSpec(drain_seconds=120))
    lost = ward.arn(1)
    ward.dropped.add(lost)
    ward.busy[lost] = 1.0
    began = ward.now
    ward.passes(150)
    assert ward.stops() == [lost]
    assert ward.stopped[0][0] - began >= 120


def test_one_that_answers_and_is_registered_is_never_stopped_however_busy() -> None:
    ward = Ward(decode=1, spare=0)
    ward.busy[ward.arn()] = 50.0
    made = ward.passes(600)
    assert made.converged
    assert ward.stopped == []


def test_one_that_is_silent_and_registered_is_stopped_when_its_work_stands_still() -> None:
    ward = Ward(decode=2)
    hung = ward.hang(0)
    began = ward.now
    for number in range(30):  # Frontends see that it works: only its page hangs.
        ward.busy[hung] = float(number % 3)
        ward.pass_()
    assert ward.stopped == []
    assert degraded(ward.plans[-1], "decode") == "ReplicaHangs"
    still = ward.now
    ward.passes(80)
    assert ward.stops() == [hung]
    assert ward.stopped[0][0] >= max(began, still) + 60 - STEP


def test_a_daemon_that_is_cut_off_from_a_registered_worker_stops_nothing() -> None:
    ward = Ward(decode=2)
    for number in range(2):
        ward.cut_off.add(ward.hang(number))
    for _ in range(60):
        made = ward.pass_(30.0)
    assert ward.stopped == []
    assert degraded(made, "decode") == "ReplicaHangs"
    assert any("may be cut off" in w.reason for w in made.waits if w.component == "decode")


def test_a_frontend_that_hangs_is_replaced_after_two_minutes_and_four_where_all_do() -> None:
    ward = Ward()
    hung = ward.hang(0, "frontend")
    began = ward.now
    assert first(ward, "ReplicaHangs", "frontend", 15) >= 8
    ward.passes(130)
    assert ward.stops() == [hung]
    assert 120 <= ward.stopped[0][0] - began <= 135
    assert ward.passes(60).converged
    ward.cut_off.add(ward.hang(0, "frontend"))
    ward.passes(300)
    assert ward.stops() == [hung]
    began = ward.now
    other = ward.hang(1, "frontend")
    ward.passes(270)
    assert ward.stops() == [hung, other]
    assert 240 <= ward.stopped[1][0] - began <= 260


def test_while_another_replica_is_missing_nobody_is_stopped() -> None:
    ward = Ward(decode=3)
    ward.dropped.add(ward.hang(0))
    ward.passes(15)
    assert ward.stopped == []
    ward.tasks().pop()  # It ended by itself, and ECS has yet to replace it.
    made = ward.pass_()
    assert ward.stopped == []
    assert any("ECS has yet to start a replica" in w.reason for w in made.waits)
    ward.passes(30)
    assert len(ward.stopped) == 1


def test_a_lost_etcd_is_no_reason_to_stop_anybody() -> None:
    ward = Ward(decode=3)
    ward.etcd = False
    ward.hang(0, "frontend")
    for number in range(3):
        ward.hang(number)
    ward.passes(600)
    assert ward.stopped == []


def test_where_all_are_lost_at_once_more_is_waited_for_and_one_goes_at_a_time() -> None:
    """etcd came back without its data: most workers exit by themselves, these do not."""
    ward = Ward(decode=3)
    ward.dropped |= {ward.arn(n) for n in range(3)}
    began = ward.now
    made = ward.passes(45)
    assert degraded(made, None) == "ServesNobody"
    assert made.serves_nobody
    assert made.lost == {"decode": 3}
    ward.passes(555)
    assert len(ward.stopped) == 3
    assert ward.stopped[0][0] - began >= 60
    assert not ward.plans[-1].serves_nobody
    assert degraded(ward.plans[-1], None) is None


def test_the_next_one_waits_for_the_replacement_and_for_a_pause_that_doubles() -> None:
    ward = Ward(decode=2, spare=6)
    ward.ecs.slow = 30
    ward.dropped |= {ward.hang(0), ward.hang(1)}
    ward.passes(100)
    assert len(ward.stopped) == 1
    assert any("a replica is starting" in w.reason for w in ward.plans[-1].waits)
    ward.ecs.slow = 0
    ward.passes(400)
    assert len(ward.stopped) == 2
    for _ in range(6):  # One after the other hangs as soon as it has come up.
        ward.dropped.add(ward.hang(0))
        before = len(ward.stopped)
        while len(ward.stopped) == before:
            ward.pass_(10.0)
    gaps = [b - a for (a, _), (b, _) in pairwise(ward.stopped)]
    pauses = [min(FIRST_PAUSE_SECONDS * 2**n, LONGEST_PAUSE_SECONDS) for n in range(len(gaps))]
    assert all(gap >= pause for gap, pause in zip(gaps, pauses, strict=True)), gaps
    assert gaps[-1] < LONGEST_PAUSE_SECONDS + 200
    end = ward.now + 2 * LONGEST_PAUSE_SECONDS + 100
    while ward.now < end:  # Quiet for long: it begins anew.
        ward.pass_(60.0)
    ward.dropped.add(ward.hang(0))
    ward.passes(60)
    assert ward.memory.health.stops["decode"].pause == FIRST_PAUSE_SECONDS


def test_nothing_is_replaced_where_that_is_switched_off() -> None:
    ward = Ward(decode=2, runtime=RuntimeSpec(replace_lost_replicas=False))
    ward.dropped.add(ward.hang(0))
    made = ward.passes(600)
    assert ward.stopped == []
    assert degraded(made, "decode") == "ReplicaHangs"
    assert any("replaceLostReplicas is false" in w.reason for w in made.waits)


def test_a_fresh_daemon_knows_nobody_and_stops_nobody_at_once() -> None:
    ward = Ward(decode=2)
    began = ward.now
    hung = ward.hang(0)
    ward.dropped.add(hung)
    for _ in range(20):
        ward.memory = Memory(started_at=ward.now)
        assert not [a for a in ward.pass_().actions if isinstance(a, StopTask)]
    # It may be one that starts: only after its progress deadline it must be ill.
    deadline = ward.graph.component("decode").rollout.progress_deadline_seconds
    while not ward.stopped:
        ward.pass_(30.0)
        assert ward.now < 10_000
    assert ward.stops() == [hung]
    assert deadline - 100 < ward.stopped[0][0] - began < deadline + 100


def test_replicas_that_ended_and_are_not_replaced_are_told_of() -> None:
    ward = Ward(decode=2, spare=0)
    ward.ecs.gpu_instances = 0
    ward.tasks().pop()
    assert first(ward, "ReplicaLost", "decode", 30) >= 15
    assert ward.plans[-1].lost == {"decode": 1}
    assert ward.passes(300).serves_nobody is False
    assert ward.stopped == []


def test_a_graph_that_never_served_is_not_told_of_and_one_that_did_is_for_any_reason() -> None:
    ward = Ward(decode=1)
    fresh = plan(ward.graph, ward.ecs.snapshot(), Memory(started_at=0.0), ward.ecs.clock)
    assert degraded(fresh, None) is None
    ward.ecs.gpu_instances = 0  # All instances of the workers are gone, with what ran on them.
    for name in ("prefill", "decode"):
        ward.tasks(name).clear()
    assert first(ward, "ServesNobody", None, 15) >= 8
    condition = next(
        c for c in ward.plans[-1].conditions if c.reason == ConditionReason.SERVES_NOBODY
    )
    assert "no replica of decode is ready" in condition.message
    # The next daemon knows from the marks on the services that it served.
    ward.memory = Memory(started_at=ward.now)
    assert first(ward, "ServesNobody", None, 15) >= 8
    # An unobserved component keeps its last state.
    ward.unseen.add("decode")
    assert degraded(ward.passes(60), None) == "ServesNobody"
    ward.unseen.clear()
    ward.ecs.gpu_instances = 4
    assert degraded(ward.passes(120), None) is None


def test_a_graph_that_is_scaled_to_nothing_serves_nobody_on_purpose() -> None:
    ward = Ward(decode=1)
    ward.graph = ward.ecs.graph = replace(
        ward.graph,
        components=tuple(
            replace(c, replicas=0) if c.is_worker else c for c in ward.graph.components
        ),
    )
    made = ward.passes(300)
    assert degraded(made, None) is None
    assert made.lost == {}


def test_what_is_not_proven_good_is_left_to_its_deadline() -> None:
    """A new revision whose workers hang is judged as a rollout, and nothing is stopped."""
    ward = Ward(decode=2)
    ward.graph = ward.ecs.graph = with_image(ward.graph, "decode", "dynamo:2")
    for _ in range(60):
        ward.pass_(10.0)
        for number, task in enumerate(ward.tasks()):
            if task.revision.endswith(":2"):
                ward.dropped.add(ward.hang(number))
    assert ward.stopped == []


def choosing(snapshot: Snapshot, hosts: list[str], registered: int, silent: float = -1) -> Snapshot:
    """The decode workers have chosen their ports, and run on ``hosts``. The last ``registered`` of
    them are registered. The first has been silent for ``silent`` seconds, if not below 0.
    """
    seen = snapshot.components["decode"]
    contents = {}
    for arn, one in seen.revisions.items():
        (container,) = one.content["containerDefinitions"]
        others = [e for e in container["environment"] if e["name"] != "DYN_SYSTEM_PORT"]
        container = {
            **container,
            "environment": [*others, {"name": "DYN_SYSTEM_PORT", "value": "0"}],
        }
        contents[arn] = replace(one, content={**one.content, "containerDefinitions": [container]})
    tasks = tuple(
        replace(t, private_ip=host)
        for t, host in zip(running(snapshot, "decode"), hosts, strict=True)
    )
    assert not isinstance(snapshot.registrations, Unknown)
    registrations = [r for r in snapshot.registrations if r.component == "prefill"]
    former = {t.private_ip for t in running(snapshot, "decode")}
    pages = {url: p for url, p in snapshot.pages.items() if urlsplit(url).hostname not in former}
    for number, task in enumerate(tasks):
        lease = lease_of(task.arn)
        url = f"http://{task.private_ip}:{40_000 + number}"
        page = WorkerPage(frozenset({lease}), task.started_at)
        if number >= len(tasks) - registered:
            own = next(r for r in snapshot.registrations if r.lease_id == lease)
            registrations.append(replace(own, address=task.private_ip, card=ModelCard(url)))
            mute = NoAnswer("no answer", silent, page, reached=True)
            pages[url] = mute if number == 0 and silent >= 0 else page
    parts = {**snapshot.components, "decode": replace(seen, tasks=tasks, revisions=contents)}
    return replace(snapshot, registrations=tuple(registrations), pages=pages, components=parts)


class Later:
    """Passes over snapshots that are made up, 5 s apart; nothing that is planned is done."""

    def __init__(self, ward: Ward) -> None:
        self.ward, self.memory, self.passes = ward, ward.memory, 0
        self.stopped: list[str] = []

    def pass_(self, snapshot: Snapshot) -> Plan:
        at, later = self.ward.ecs.clock, STEP * self.passes
        now = replace(at, monotonic=at.monotonic + later, wall=at.wall + later)
        made = plan(self.ward.graph, snapshot, self.memory, now)
        self.memory, self.passes = made.memory, self.passes + 1
        self.stopped += [a.task for a in made.actions if isinstance(a, StopTask)]
        return made


def test_who_is_lost_is_not_guessed_among_workers_that_chose_their_ports() -> None:
    """Two tasks of one revision on one host, started together, and one registration."""
    ward = Ward(decode=2)
    look, later = ward.look(), Later(ward)
    hosts = ["10.9.0.1", "10.9.0.1"]
    later.pass_(choosing(look, hosts, 2))
    for _ in range(60):
        made = later.pass_(choosing(look, hosts, 1))
    assert degraded(made, "decode") == "ReplicaLost"
    assert later.stopped == []


def test_one_that_chose_its_port_and_hangs_is_known_when_its_page_is_not_any_more() -> None:
    ward = Ward(decode=2)
    look, later = ward.look(), Later(ward)
    hosts = ["10.9.0.1", "10.9.0.2"]
    later.pass_(choosing(look, hosts, 2))
    for number in range(1, 4):
        made = later.pass_(choosing(look, hosts, 2, silent=STEP * number))
    assert degraded(made, "decode") == "ReplicaHangs"
    assert later.stopped == []
    while not later.stopped:  # Its model card is gone too: nobody knows its port.
        made = later.pass_(choosing(look, hosts, 1))
        assert degraded(made, "decode") == "ReplicaHangs"
        assert later.passes < 8
    assert later.stopped == [running(look, "decode")[0].arn]


def test_an_instance_that_drains_and_a_count_that_changes_come_first() -> None:
    ward = Ward(decode=3, spare=3)
    hung = ward.hang(0)
    ward.dropped.add(hung)
    other = ward.tasks()[1].instance
    assert other is not None
    ward.ecs.drained.add(other)
    snapshot = ward.look()
    instances = snapshot.container_instances["gpu"]
    assert not isinstance(instances, Unknown)
    assert any(isinstance(i, ContainerInstance) and i.status == "DRAINING" for i in instances)
    while any(t.instance == other for t in ward.tasks()):
        ward.pass_()
        assert ward.stopped == []
    ward.passes(120)
    assert ward.stops() == [hung]


ILLS = st.tuples(
    st.sampled_from(
        ["hang", "wake", "drop", "register", "cut", "join", "work", "etcd", "unseen", "roll"]
    ),
    st.integers(0, 2),
    st.integers(1, 4),
    st.sampled_from([5.0, 20.0]),
)


@cache
def well(decode: int) -> Ward:
    return Ward(decode=decode)


@given(decode=st.integers(1, 3), ills=st.lists(ILLS, max_size=10), slow=st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_whatever_happens_nobody_that_may_serve_is_stopped(
    decode: int, ills: list[tuple[str, int, int, float]], slow: int
) -> None:
    ward = deepcopy(well(decode))
    ward.ecs.slow = slow
    rolled = 0
    for kind, number, passes, seconds in ills:
        arn = ward.arn(number % len(ward.tasks())) if ward.tasks() else ""
        match kind:
            case "hang" if arn:
                ward.hang(number % len(ward.tasks()))
            case "wake":
                ward.hung.pop(arn, None)
            case "drop":
                ward.dropped.add(arn)
            case "register":
                ward.dropped.discard(arn)
            case "cut":
                ward.cut_off.add(arn)
            case "join":
                ward.cut_off.discard(arn)
            case "work":
                ward.busy[arn] = float(passes)
            case "etcd":
                ward.etcd = not ward.etcd
            case "unseen":
                ward.unseen ^= {"decode"}
            case "roll":
                rolled += 1
                ward.graph = ward.ecs.graph = with_image(ward.graph, "decode", f"image:{rolled}")
        for _ in range(passes):
            check_pass(ward, seconds)
    for (a, one), (b, _) in pairwise(ward.stopped):
        assert one.component == "decode"
        assert b - a >= FIRST_PAUSE_SECONDS


def check_pass(ward: Ward, seconds: float) -> None:
    """One pass, in which what is stopped was judged by what is known of it now."""
    snapshot, service = ward.look(), ward.ecs.services["g-decode"]
    deployments, good = len(service.deployments), service.tags.get(TAG_GOOD, "")
    revision = ward.ecs.revisions[service.revision].number
    there = {t.arn for t in service.tasks}
    made = ward.pass_(seconds)
    assert not [a for a in made.actions if is_hold(a)]
    stops = [a for a in made.actions if isinstance(a, StopTask)]
    assert len(stops) <= 1
    for stop in stops:
        arn = stop.task
        assert arn in there
        assert ward.etcd
        assert not ward.unseen
        assert deployments == 1
        assert good == str(revision)
        assert not [a for a in made.actions if a is not stop and a.component == "decode"]
        registered = arn not in ward.dropped
        ip = next(t.private_ip for t in running(snapshot, "decode") if t.arn == arn)
        page = next(p for url, p in snapshot.pages.items() if f"//{ip}:" in url)
        if registered:
            assert isinstance(page, NoAnswer)
            assert page.seconds >= 60
            assert page.reached
        waiting = [t for t in running(snapshot, "decode") if t.arn != arn]
        assert len(waiting) + 1 == ward.decode, "a replacement has yet to start"
