"""Lost replicas are reported in time and replaced with care; serving ones are never stopped."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.graph import TAG_GOOD
from ecs_dynamo.model.plan import Memory, StopTask
from ecs_dynamo.model.snapshot import (
    ContainerInstance,
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
from tests.helpers.facts import degraded
from tests.helpers.graphs import with_image
from tests.helpers.sick_replicas import (
    STEP,
    Ward,
    first,
)


@pytest.mark.parametrize(("lease", "seconds"), [(1, 5), (5, 7.5), (10, 15), (30, 15), (600, 15)])
def test_the_time_until_something_is_reported_follows_from_the_lease(
    lease: float, seconds: float
) -> None:
    assert detection_seconds(lease) == seconds
    assert quick_detection_seconds(lease) == min(seconds, 8)


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
    result = ward.passes(60)
    assert result.converged
    assert result.lost == {}
    assert degraded(result, "decode") is None
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


def test_pending_requests_of_one_that_lost_its_registration_get_the_drain_time() -> None:
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
    result = ward.passes(600)
    assert result.converged
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
        result = ward.pass_(30.0)
    assert ward.stopped == []
    assert degraded(result, "decode") == "ReplicaHangs"
    assert any("may be cut off" in w.reason for w in result.waits if w.component == "decode")


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
    result = ward.pass_()
    assert ward.stopped == []
    assert any("ECS has yet to start a replica" in w.reason for w in result.waits)
    ward.passes(30)
    assert len(ward.stopped) == 1


def test_a_lost_etcd_is_not_a_reason_to_stop_anybody() -> None:
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
    result = ward.passes(45)
    assert degraded(result, None) == "ServesNobody"
    assert result.serves_nobody
    assert result.lost == {"decode": 3}
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
    result = ward.passes(600)
    assert ward.stopped == []
    assert degraded(result, "decode") == "ReplicaHangs"
    assert any("replaceLostReplicas is false" in w.reason for w in result.waits)


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


def test_replicas_that_ended_and_are_not_replaced_are_reported() -> None:
    ward = Ward(decode=2, spare=0)
    ward.ecs.gpu_instances = 0
    ward.tasks().pop()
    assert first(ward, "ReplicaLost", "decode", 30) >= 15
    assert ward.plans[-1].lost == {"decode": 1}
    assert ward.passes(300).serves_nobody is False
    assert ward.stopped == []


def test_a_graph_that_never_served_is_not_reported_and_one_that_did_is_for_any_reason() -> None:
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
    ward.unobserved.add("decode")
    assert degraded(ward.passes(60), None) == "ServesNobody"
    ward.unobserved.clear()
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
    result = ward.passes(300)
    assert degraded(result, None) is None
    assert result.lost == {}


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


def test_an_instance_that_drains_and_a_count_that_changes_come_first() -> None:
    ward = Ward(decode=3, spare=3)
    hung = ward.hang(0)
    ward.dropped.add(hung)
    other = ward.tasks()[1].instance
    assert other is not None
    ward.ecs.drained.add(other)
    snapshot = ward.observe()
    instances = snapshot.container_instances["gpu"]
    assert not isinstance(instances, Unknown)
    assert any(isinstance(i, ContainerInstance) and i.status == "DRAINING" for i in instances)
    while any(t.instance == other for t in ward.tasks()):
        ward.pass_()
        assert ward.stopped == []
    ward.passes(120)
    assert ward.stops() == [hung]
