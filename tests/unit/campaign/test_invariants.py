"""What the campaign judges from outside finds each violation, and nothing where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chaos.invariants import (
    Rules,
    ServiceSeen,
    TaskSeen,
    View,
    Write,
    judge,
    judge_revisions,
    judge_write,
)

NAME = "local-decode"
RULES = Rules(floors={NAME: 2}, counts={NAME: (2, 3)}, victims={"victim"})


def task(id: str, **more: Any) -> TaskSeen:
    return TaskSeen(**{"id": id, "service": NAME, "wanted": True, "ready": True, **more})


def stopped(id: str, code: str = "ServiceSchedulerInitiated") -> TaskSeen:
    return task(id, wanted=False, stop_code=code)


def view(*tasks: TaskSeen) -> View:
    return View(tasks=tasks)


def found(before: View, now: View, rules: Rules = RULES) -> list[str]:
    return list(judge(before, now, rules))


def test_an_old_replica_may_go_once_another_is_ready() -> None:
    before = view(task("a"), task("b"), task("c"))
    assert found(before, view(stopped("a"), task("b"), task("c"))) == []
    assert found(before, view(stopped("a", "UserInitiated"), task("b"), task("c"))) == []


@pytest.mark.parametrize("code", ["ServiceSchedulerInitiated", "UserInitiated"])
def test_one_that_serves_may_not_go_before(code: str) -> None:
    before = view(task("a"), task("b"), task("c", ready=False))
    (text,) = found(before, view(stopped("a", code), task("b"), task("c", ready=False)))
    assert text == "local-decode: 1 ready stopped with 1 others ready, not 2"
    # Two at once leave one where two are to stay.
    before = view(task("a"), task("b"), task("c"))
    (text,) = found(before, view(stopped("a"), stopped("b"), task("c")))
    assert text.startswith("local-decode: 2 ready stopped with 1")


def test_a_successor_that_has_just_become_ready_came_too_late() -> None:
    """It was not ready when ECS was let stop the old one."""
    before = view(task("a"), task("b"), task("c", ready=False))
    assert found(before, view(stopped("a"), task("b"), task("c")))


def test_what_dies_by_itself_is_nobodys_doing() -> None:
    before = view(task("a"), task("b"))
    assert found(before, view(stopped("a", "EssentialContainerExited"), task("b"))) == []
    assert found(before, view(stopped("a", "TerminationNotice"), task("b"))) == []
    assert found(view(task("victim"), task("b")), view(stopped("victim"), task("b"))) == []
    # It was stopped before, or was not ready: nothing is lost.
    assert found(view(stopped("a"), task("b")), view(stopped("a"), task("b"))) == []
    assert found(view(task("a", ready=False), task("b")), view(stopped("a"), task("b"))) == []


def test_the_last_ready_one_may_not_go_even_below_the_floor() -> None:
    before = view(task("victim"), task("b"))
    assert found(before, view(stopped("victim"), stopped("b")))


def test_one_at_a_time_has_a_floor_of_its_own() -> None:
    rules = Rules(floors={NAME: 1}, counts={})
    assert found(view(task("a"), task("b")), view(stopped("a"), task("b")), rules) == []
    assert found(view(task("a"), task("b")), view(stopped("a"), stopped("b")), rules)


def test_two_services_of_a_name_and_counts_out_of_bounds() -> None:
    twice = View(services=(ServiceSeen(NAME, "a", 2), ServiceSeen(NAME, "b", 2)))
    assert found(View(), twice) == ["2 services are called local-decode"]
    for desired, fine in ((1, False), (2, True), (3, True), (4, False)):
        texts = found(View(), View(services=(ServiceSeen(NAME, "a", desired),)))
        assert (texts == []) == fine, texts


def test_a_revision_in_use_stays_registered() -> None:
    gone = view(task("a", revision_active=False))
    assert found(gone, gone) == ["a revision that local-decode runs was deregistered"]
    ended = view(task("a", wanted=False, revision_active=False))
    assert found(ended, ended) == []


def test_revisions_are_counted_from_the_beginning() -> None:
    before, now = View(revisions={NAME: 5}), View(revisions={NAME: 7, "local-new": 2})
    assert list(judge_revisions(before, now, RULES)) == []
    more = View(revisions={NAME: 8})
    assert list(judge_revisions(before, more, RULES)) == [
        "local-decode has had 3 new revisions, not at most 2"
    ]


def test_writes_are_about_the_graphs_own() -> None:
    ours = {NAME}
    assert list(judge_write(Write("UpdateService", (NAME,)), ours)) == []
    assert list(judge_write(Write("StopTask", (NAME, "local-other")), ours)) == [
        "StopTask on local-other, which is not the graph's"
    ]
