"""Properties of the replacement of lost replicas."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
)
from ecs_dynamo.model.graph import TAG_GOOD
from ecs_dynamo.model.plan import StopTask, is_hold
from ecs_dynamo.planning.healing.replacement import (
    FIRST_PAUSE_SECONDS,
)
from tests.helpers.graphs import with_image
from tests.helpers.sick_replicas import (
    Ward,
    running,
)

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
                ward.unobserved ^= {"decode"}
            case "roll":
                rolled += 1
                ward.graph = ward.ecs.graph = with_image(ward.graph, "decode", f"image:{rolled}")
        for _ in range(passes):
            check_pass(ward, seconds)
    for (a, item), (b, _) in pairwise(ward.stopped):
        assert item.component == "decode"
        assert b - a >= FIRST_PAUSE_SECONDS


def check_pass(ward: Ward, seconds: float) -> None:
    """One pass, in which what is stopped was judged by what is known of it now."""
    snapshot, service = ward.observe(), ward.ecs.services["g-decode"]
    deployments, good = len(service.deployments), service.tags.get(TAG_GOOD, "")
    revision = ward.ecs.revisions[service.revision].number
    there = {t.arn for t in service.tasks}
    result = ward.pass_(seconds)
    assert not [a for a in result.actions if is_hold(a)]
    stops = [a for a in result.actions if isinstance(a, StopTask)]
    assert len(stops) <= 1
    for stop in stops:
        arn = stop.task
        assert arn in there
        assert ward.etcd
        assert not ward.unobserved
        assert deployments == 1
        assert good == str(revision)
        assert not [a for a in result.actions if a is not stop and a.component == "decode"]
        registered = arn not in ward.dropped
        ip = next(t.private_ip for t in running(snapshot, "decode") if t.arn == arn)
        page = next(p for url, p in snapshot.pages.items() if f"//{ip}:" in url)
        if registered:
            assert isinstance(page, NoAnswer)
            assert page.seconds >= 60
            assert page.reached
        waiting = [t for t in running(snapshot, "decode") if t.arn != arn]
        assert len(waiting) + 1 == ward.decode, "a replacement has yet to start"
