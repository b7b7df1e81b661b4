"""The local ECS's decisions while a deployment is under way."""

from __future__ import annotations

from ecs_dynamo.local.scheduling.rolling_update import ServiceView, TaskView, decide


def task(name: str, deployment: str, *, healthy: bool = True, **more: bool) -> TaskView:
    return TaskView(
        name,
        deployment,
        healthy,
        healthy,
        more.get("unhealthy", False),
        more.get("protected", False),
        0.0,
    )


def view(*tasks: TaskView, keeps: int, most: int = 200, desired: int = 2) -> ServiceView:
    return ServiceView(desired, 100, most, "new", tasks, keeps={"old": keeps})


def test_a_lost_task_of_the_running_version_is_replaced_by_its_own_revision() -> None:
    moves = decide(view(task("a", "old"), task("b", "new", healthy=False), keeps=2))
    assert (moves.replace, moves.start, moves.keeps) == ({"old": 1}, 1, {"old": 2})
    assert not moves.stop


def test_a_sick_one_is_replaced_and_one_that_is_stopped_for_the_deployment_is_not() -> None:
    sick = task("a", "old", healthy=False, unhealthy=True)
    moves = decide(view(sick, task("b", "old"), keeps=2))
    assert [arn for arn, _ in moves.stop] == ["a"]
    assert (moves.replace, moves.keeps) == ({"old": 1}, {"old": 2})
    moves = decide(view(task("a", "old"), task("b", "old"), task("c", "new"), keeps=2))
    assert len(moves.stop) == 1
    assert (moves.replace, moves.keeps) == ({"old": 0}, {"old": 1})


def test_the_upper_limit_holds_for_both_sides_together() -> None:
    moves = decide(view(task("a", "old"), keeps=2, most=100))
    assert (moves.replace, moves.start) == ({"old": 1}, 0)
    pausing = ServiceView(
        2, 100, 100, "new", (task("a", "old"),), keeps={"old": 2}, pausing=frozenset({"old"})
    )
    assert (decide(pausing).replace, decide(pausing).start) == ({}, 1)


def test_nothing_of_the_old_side_is_replaced_once_the_new_one_is_complete() -> None:
    moves = decide(view(task("a", "new"), task("b", "new"), task("c", "old"), keeps=2))
    assert (moves.replace, moves.keeps) == ({"old": 0}, {"old": 0})
    assert [arn for arn, _ in moves.stop] == ["c"]


def test_what_was_started_again_is_not_stopped_before_it_could_become_healthy() -> None:
    again = task("a", "old", healthy=False)
    moves = decide(view(again, task("b", "new", healthy=False), keeps=1, desired=1))
    assert (moves.stop, moves.keeps) == ((), {"old": 1})
    # Of a revision that was never complete nothing is kept.
    moves = decide(view(again, task("b", "new", healthy=False), keeps=0, desired=1))
    assert [arn for arn, _ in moves.stop] == ["a"]
    # With enough healthy ones it is not waited for.
    moves = decide(view(again, task("b", "old"), task("c", "new", healthy=False), keeps=2))
    assert not moves.stop
    moves = decide(view(again, task("b", "old"), task("c", "new"), keeps=2))
    assert [arn for arn, _ in moves.stop] == ["a"]
