"""UpdateTaskProtection answers with HTTP 200 and failures: only an ended task is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.aws.execute.executor import (
    ActionResult,
    Executor,
)
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.model.plan import Endpoints, Memory, Plan, ProtectTasks, UpdateService
from tests.unit.aws.fake_aws import fake_aws

TASK = "arn:aws:ecs:us-east-1:123456789012:task/c/0123456789abcdef0123456789abcdef"
COUNTS = {"desiredCount": 1, "runningCount": 1, "pendingCount": 0}
SERVICE = {
    "serviceArn": "arn",
    "serviceName": "s",
    "status": "ACTIVE",
    "tags": [{"key": "ecs-dynamo:graph", "value": "g"}],
    **COUNTS,
}


def described(last: str, desired: str) -> dict[str, Any]:
    return {
        "taskArn": TASK,
        "taskDefinitionArn": "td",
        "lastStatus": last,
        "desiredStatus": desired,
    }


async def rolled(
    failures: list[dict[str, Any]], tasks: list[dict[str, Any]]
) -> tuple[list[ActionResult], list[str]]:
    """Return the result of a rollout with this answer to the protection, and the calls."""
    calls: list[str] = []

    def answer(name: str, value: dict[str, Any]) -> Any:
        def called(**_: Any) -> dict[str, Any]:
            calls.append(name)
            return value

        return called

    gone = [] if tasks else [{"arn": TASK, "reason": "MISSING"}]
    aws = fake_aws(
        ecs={
            "UpdateTaskProtection": answer(
                "UpdateTaskProtection", {"protectedTasks": [], "failures": failures}
            ),
            "DescribeTasks": answer("DescribeTasks", {"tasks": tasks, "failures": gone}),
            "DescribeServices": answer("DescribeServices", {"services": [SERVICE], "failures": []}),
            "UpdateService": answer("UpdateService", {"service": SERVICE}),
        }
    )

    async def never(_: Any) -> bool:
        raise AssertionError

    executor = Executor(aws, "g", GraphCache(), lambda: 0.0, never)
    protect = ProtectTasks(component="a", reason="r", cluster="c", tasks=(TASK,), minutes=5)
    update = UpdateService(component="a", reason="r", cluster="c", service="s", desired=1)
    result = Plan("g", (protect, update), (), (), Endpoints(), (), {}, (), Memory(0.0))
    return list(await executor.execute(result)), calls


@pytest.mark.parametrize("reason", ["DEPLOYMENT_BLOCKED", "TASK_NOT_VALID", "SOMETHING_NEW"])
async def test_a_task_that_runs_and_cannot_be_protected_stops_the_rollout(reason: str) -> None:
    failure = {"arn": TASK, "reason": reason, "detail": "the words of ECS"}
    (protect, update), calls = await rolled([failure], [described("RUNNING", "RUNNING")])
    assert not protect.ok
    assert protect.rejected
    assert reason in (protect.error or "")
    assert "the words of ECS" in (protect.error or "")
    assert update.skipped
    assert "UpdateService" not in calls


@pytest.mark.parametrize(
    "tasks",
    [[], [described("STOPPED", "STOPPED")], [described("RUNNING", "STOPPED")]],
    ids=["missing", "stopped", "stopping"],
)
@pytest.mark.parametrize("reason", ["MISSING", "TASK_NOT_VALID"])
async def test_a_task_that_has_ended_needs_no_protection(
    reason: str, tasks: list[dict[str, Any]]
) -> None:
    results, calls = await rolled([{"arn": TASK, "reason": reason}], tasks)
    assert all(r.ok for r in results)
    assert calls[-1] == "UpdateService"


async def test_a_protection_that_is_given_costs_one_call() -> None:
    _, calls = await rolled([], [])
    assert calls.count("UpdateTaskProtection") == 1
    assert "DescribeTasks" not in calls
