"""Rolling updates of the local ECS while a deployment is in progress."""

from __future__ import annotations

from ecs_dynamo.local.scheduling.rolling_update import ServiceView, TaskChanges, TaskView, decide


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


def changes(
    *tasks: TaskView, retained: int, maximum_percent: int = 200, desired: int = 2
) -> TaskChanges:
    view = ServiceView(desired, 100, maximum_percent, "new", tasks, retained={"old": retained})
    return decide(view)


def test_a_lost_task_of_the_running_version_is_replaced_by_its_own_revision() -> None:
    result = changes(task("a", "old"), task("b", "new", healthy=False), retained=2)
    assert (result.replace, result.start, result.retained) == ({"old": 1}, 1, {"old": 2})
    assert not result.stop


def test_an_unhealthy_task_is_replaced_and_one_stopped_by_the_deployment_is_not() -> None:
    unhealthy = task("a", "old", healthy=False, unhealthy=True)
    result = changes(unhealthy, task("b", "old"), retained=2)
    assert [arn for arn, _ in result.stop] == ["a"]
    assert (result.replace, result.retained) == ({"old": 1}, {"old": 2})
    result = changes(task("a", "old"), task("b", "old"), task("c", "new"), retained=2)
    assert len(result.stop) == 1
    assert (result.replace, result.retained) == ({"old": 0}, {"old": 1})


def test_the_upper_limit_applies_to_both_deployments_together() -> None:
    result = changes(task("a", "old"), retained=2, maximum_percent=100)
    assert (result.replace, result.start) == ({"old": 1}, 0)
    old = (task("a", "old"),)
    backing_off = frozenset({"old"})
    result = decide(
        ServiceView(2, 100, 100, "new", old, retained={"old": 2}, backing_off=backing_off)
    )
    assert (result.replace, result.start) == ({}, 1)


def test_no_old_task_is_replaced_once_the_new_deployment_is_complete() -> None:
    result = changes(task("a", "new"), task("b", "new"), task("c", "old"), retained=2)
    assert (result.replace, result.retained) == ({"old": 0}, {"old": 0})
    assert [arn for arn, _ in result.stop] == ["c"]


def test_a_replacement_is_not_stopped_before_it_could_become_healthy() -> None:
    replacement = task("a", "old", healthy=False)
    result = changes(replacement, task("b", "new", healthy=False), retained=1, desired=1)
    assert (result.stop, result.retained) == ((), {"old": 1})
    # No task of a deployment that has never completed is retained.
    result = changes(replacement, task("b", "new", healthy=False), retained=0, desired=1)
    assert [arn for arn, _ in result.stop] == ["a"]
    result = changes(replacement, task("b", "old"), task("c", "new", healthy=False), retained=2)
    assert not result.stop
    # It is stopped once there are enough healthy tasks.
    result = changes(replacement, task("b", "old"), task("c", "new"), retained=2)
    assert [arn for arn, _ in result.stop] == ["a"]
