"""A task is stopped only where ECS says that it is the service's, and the service is ours."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.aws.execute.executor import (
    ActionResult,
    Executor,
)
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.model.plan import Endpoints, Memory, Plan, StopTask
from tests.unit.aws.fake_aws import fake_aws

TASK = "arn:aws:ecs:us-east-1:123456789012:task/c/0123456789abcdef0123456789abcdef"
ACTION = StopTask(
    component="a",
    reason="it has not answered",
    cluster="c",
    service="s",
    task=TASK,
    why="ecs-dynamo: it has not answered" + "!" * 300,
)


async def stopped(
    *, group: str = "service:s", graph: str = "g", desired: str = "RUNNING", there: bool = True
) -> tuple[ActionResult, list[dict[str, Any]]]:
    """Return the result of the action, and the StopTask calls."""
    calls: list[dict[str, Any]] = []
    task = {
        "taskArn": TASK,
        "taskDefinitionArn": "td",
        "lastStatus": "RUNNING",
        "desiredStatus": desired,
        "group": group,
    }
    service = {
        "serviceArn": "arn",
        "serviceName": "s",
        "status": "ACTIVE",
        "tags": [{"key": "ecs-dynamo:graph", "value": graph}],
        "desiredCount": 1,
        "runningCount": 1,
        "pendingCount": 0,
    }

    def stop(**parameters: Any) -> dict[str, Any]:
        calls.append(parameters)
        return {"task": task}

    gone = [] if there else [{"arn": TASK, "reason": "MISSING"}]
    aws = fake_aws(
        ecs={
            "DescribeServices": lambda **_: {"services": [service], "failures": []},
            "DescribeTasks": lambda **_: {"tasks": [task] if there else [], "failures": gone},
            "StopTask": stop,
        }
    )

    async def never(_: Any) -> bool:
        raise AssertionError

    executor = Executor(aws, "g", GraphCache(), lambda: 0.0, never)
    outcome = Plan("g", (ACTION,), (), (), Endpoints(), (), {}, (), Memory(0.0))
    (result,) = await executor.execute(outcome)
    return result, calls


async def test_a_task_of_the_service_is_stopped_with_the_reason() -> None:
    result, calls = await stopped()
    assert (result.ok, result.changed) == (True, True)
    assert calls == [{"cluster": "c", "task": TASK, "reason": ACTION.why[:255]}]


@pytest.mark.parametrize("group", ["service:other", "family:s", "s"])
async def test_a_task_of_another_service_is_left_alone(group: str) -> None:
    result, calls = await stopped(group=group)
    assert not result.ok
    assert group in (result.error or "")
    assert calls == []


async def test_a_task_of_a_service_without_the_graphs_tag_is_left_alone() -> None:
    result, calls = await stopped(graph="another")
    assert not result.ok
    assert calls == []


@pytest.mark.parametrize("there", [True, False])
async def test_a_task_that_ends_already_is_not_stopped_again(there: bool) -> None:
    result, calls = await stopped(there=there, desired="STOPPED")
    assert (result.ok, result.changed) == (True, False)
    assert calls == []
