"""The checks of invariants report each violation and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chaos.graph import without_generation
from benchmarks.chaos.invariants import (
    ObservedService,
    ObservedTask,
    Rules,
    View,
    Write,
    moment_violations,
    revision_violations,
    write_violations,
)

NAME = "local-decode"
RULES = Rules(floors={NAME: 2}, counts={NAME: (2, 3)}, victims={"victim"})


def task(id: str, **fields: Any) -> ObservedTask:
    return ObservedTask(**{"id": id, "service": NAME, "alive": True, "ready": True, **fields})


def stopped(id: str, code: str = "ServiceSchedulerInitiated") -> ObservedTask:
    return task(id, alive=False, stop_code=code)


def view(*tasks: ObservedTask) -> View:
    return View(tasks=tasks)


def violations(before: View, now: View, rules: Rules = RULES) -> list[str]:
    return list(moment_violations(before, now, rules))


def test_an_old_replica_may_be_stopped_once_another_is_ready() -> None:
    before = view(task("a"), task("b"), task("c"))
    assert violations(before, view(stopped("a"), task("b"), task("c"))) == []
    assert violations(before, view(stopped("a", "UserInitiated"), task("b"), task("c"))) == []


@pytest.mark.parametrize("code", ["ServiceSchedulerInitiated", "UserInitiated"])
def test_a_serving_replica_may_not_be_stopped_earlier(code: str) -> None:
    before = view(task("a"), task("b"), task("c", ready=False))
    (text,) = violations(before, view(stopped("a", code), task("b"), task("c", ready=False)))
    assert text == "local-decode: 1 ready stopped with 1 others ready, not 2"
    # If two stop together, only one of the required two remains.
    before = view(task("a"), task("b"), task("c"))
    (text,) = violations(before, view(stopped("a"), stopped("b"), task("c")))
    assert text.startswith("local-decode: 2 ready stopped with 1")


def test_a_successor_that_has_just_become_ready_came_too_late() -> None:
    """It was not ready when ECS could stop the old one."""
    before = view(task("a"), task("b"), task("c", ready=False))
    assert violations(before, view(stopped("a"), task("b"), task("c")))


def test_tasks_that_end_without_a_deliberate_stop_are_no_violation() -> None:
    before = view(task("a"), task("b"))
    assert violations(before, view(stopped("a", "EssentialContainerExited"), task("b"))) == []
    assert violations(before, view(stopped("a", "TerminationNotice"), task("b"))) == []
    assert violations(view(task("victim"), task("b")), view(stopped("victim"), task("b"))) == []
    # The task was already stopped, or was not ready.
    assert violations(view(stopped("a"), task("b")), view(stopped("a"), task("b"))) == []
    assert violations(view(task("a", ready=False), task("b")), view(stopped("a"), task("b"))) == []


def test_the_last_ready_replica_may_not_be_stopped_even_below_the_floor() -> None:
    before = view(task("victim"), task("b"))
    assert violations(before, view(stopped("victim"), stopped("b")))


def test_a_lower_floor_allows_one_replica_at_a_time() -> None:
    rules = Rules(floors={NAME: 1}, counts={})
    assert violations(view(task("a"), task("b")), view(stopped("a"), task("b")), rules) == []
    assert violations(view(task("a"), task("b")), view(stopped("a"), stopped("b")), rules)


def test_duplicate_services_and_counts_out_of_bounds_are_violations() -> None:
    twice = View(services=(ObservedService(NAME, "a", 2), ObservedService(NAME, "b", 2)))
    assert violations(View(), twice) == ["2 services are called local-decode"]
    for desired, allowed in ((1, False), (2, True), (3, True), (4, False)):
        texts = violations(View(), View(services=(ObservedService(NAME, "a", desired),)))
        assert (texts == []) == allowed, texts


def test_a_revision_in_use_stays_registered() -> None:
    deregistered = view(task("a", revision_active=False))
    assert violations(deregistered, deregistered) == [
        "a revision that local-decode runs was deregistered"
    ]
    ended = view(task("a", alive=False, revision_active=False))
    assert violations(ended, ended) == []


def test_revisions_are_counted_from_the_beginning() -> None:
    before, now = View(revisions={NAME: 5}), View(revisions={NAME: 7, "local-new": 2})
    assert list(revision_violations(before, now, RULES)) == []
    more = View(revisions={NAME: 8})
    assert list(revision_violations(before, more, RULES)) == [
        "local-decode has had 3 new revisions, not at most 2"
    ]


def test_writes_may_only_change_resources_of_the_graph() -> None:
    owned = {NAME}
    assert list(write_violations(Write("UpdateService", (NAME,)), owned)) == []
    assert list(write_violations(Write("StopTask", (NAME, "local-other")), owned)) == [
        "StopTask on local-other, which is not the graph's"
    ]


def generation(number: int, desired: int) -> ObservedService:
    return ObservedService(f"{NAME}-g0000000{number}", "dynamo-GPU", desired)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((2, 0), None),
        ((3, 3), None),
        ((2, 1), None),
        ((1, 0), "was set to 1"),
        ((4, 0), "was set to 4"),
        ((4, 1), "was set to 5"),
        ((0, 0), "was set to 0"),
    ],
)
def test_generations_count_together(counts: tuple[int, int], problem: str | None) -> None:
    services = tuple(generation(number, desired) for number, desired in enumerate(counts))
    texts = violations(View(), View(services=services))
    assert [problem in text for text in texts if problem] == ([True] if problem else [])
    assert bool(texts) == (problem is not None)


def test_each_generation_of_a_component_has_one_service() -> None:
    twice = (generation(1, 1), generation(1, 1))
    (text,) = violations(View(), View(services=twice))
    assert text == f"2 services are called {NAME}-g00000001"


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("local-decode-g1a2b3c4d", "local-decode"),
        ("local-decode", "local-decode"),
        ("local-decode-gpu", "local-decode-gpu"),
        ("local-decode-g1a2b3c4", "local-decode-g1a2b3c4"),
    ],
)
def test_a_service_is_known_without_its_generation(service: str, name: str) -> None:
    assert without_generation(service) == name
