"""Why tasks stopped, in ECS's formats."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.snapshot import Container, Task, Unknown
from ecs_dynamo.planning.observed.stopped_tasks import (
    MAX_REASON_LENGTH,
    last_failure,
    recently_stopped,
    why_stopped,
)

PULL = (
    "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve "
    "ref nvcr.io/nvidia/vllm-runtime:9.9.9: not found"
)


def task(code: str | None, reason: str | None, *containers: Container, at: float = 0.0) -> Task:
    return Task(
        arn=f"arn:task/{at}",
        task_definition_arn="arn:td:1",
        last_status="STOPPED",
        desired_status="STOPPED",
        containers=containers,
        stop_code=code,
        stopped_reason=reason,
        stopped_at=at,
    )


def ended(name: str, code: int | None, reason: str | None = None) -> Container:
    return Container(name, "STOPPED", exit_code=code, reason=reason)


EXITED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("stopped", "why"),
    [
        (task("TaskFailedToStart", PULL, ended("decode", None, PULL)), PULL),
        (
            task("EssentialContainerExited", EXITED, ended("a", 0), ended("decode", 3)),
            "container decode exited with code 3",
        ),
        # The one that failed and not what was stopped because of it.
        (
            task("EssentialContainerExited", EXITED, ended("a", 143), ended("b", 1)),
            "container b exited with code 1",
        ),
        (
            task("EssentialContainerExited", EXITED, ended("decode", 0)),
            "container decode exited with code 0",
        ),
        (
            task(
                "EssentialContainerExited",
                EXITED,
                ended("decode", 137, "OutOfMemoryError: Container killed due to memory usage"),
            ),
            "container decode ran out of memory",
        ),
        (
            task("ServiceSchedulerInitiated", "Task failed container health checks"),
            "Task failed container health checks",
        ),
        (
            task("TaskFailedToStart", "ResourceInitializationError: unable to pull secrets"),
            "ResourceInitializationError: unable to pull secrets",
        ),
        (task("SpotInterruption", "Your Spot Task was interrupted."), "Your Spot Task was"),
        (task("TerminationNotice", None), "TerminationNotice"),
        (task("UserInitiated", "Task stopped by user", ended("a", 0)), "Task stopped by user"),
    ],
)
def test_the_reason_says_what_to_look_at(stopped: Task, why: str) -> None:
    assert (why_stopped(stopped) or "").startswith(why)


def test_what_the_service_stops_by_itself_is_not_news() -> None:
    scaled_in = task("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment x)")
    assert why_stopped(scaled_in) is None
    assert why_stopped(task(None, None)) is None
    failed = [task("TerminationNotice", "Host terminated", at=1), task(*two(), at=2)]
    assert recently_stopped((scaled_in, *failed)) == (failed[1], failed[0])
    assert recently_stopped(Unknown("throttled")) == ()


def two() -> tuple[str, str]:
    return "TaskFailedToStart", "CannotPullContainerError: no"


def test_the_last_failure_counts_those_like_it() -> None:
    assert last_failure([]) is None
    assert last_failure([task("UserInitiated", "by hand")]) is None
    pulls = [task(*two(), at=at) for at in (5.0, 6.0)]
    assert last_failure(pulls[:1]) == "CannotPullContainerError: no"
    crash = replace(task("EssentialContainerExited", EXITED, ended("w", 2)), stopped_at=9.0)
    assert last_failure([crash, *pulls]) == "container w exited with code 2 (3 tasks failed)"


def test_a_registrys_whole_answer_is_cut_short() -> None:
    long = task("TaskFailedToStart", "CannotPullContainerError: " + "x\n" * 1000)
    reported = why_stopped(long)
    assert reported is not None
    assert (len(reported), "\n" in reported) == (MAX_REASON_LENGTH, False)
