"""Which errors are worth another try, and that a client token belongs to one creation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.retries.standard import ThrottledRetryableChecker

from ecs_dynamo.aws.execute.executor import Executor
from ecs_dynamo.aws.failures import THROTTLES
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import CreateService, DeleteService, Endpoints, Memory, Plan, RevisionRef
from ecs_dynamo.model.service_settings import ServiceSettings
from tests.unit.aws.fake_aws import fake_aws

CONCURRENT = (
    "Too many concurrent attempts to create a new revision of the specified family. "
    "Retry the request."
)


def failing(
    code: str, message: str, times: int, answer: Any
) -> tuple[Callable[..., Any], list[int]]:
    """An operation that fails some times before it answers, and its calls."""
    calls: list[int] = []

    def operation(**_: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise ClientError({"Error": {"Code": code, "Message": message}}, "Operation")
        return answer

    return operation, calls


@pytest.mark.parametrize(
    ("service", "operation", "code", "answer"),
    [
        ("dynamodb", "UpdateItem", "ProvisionedThroughputExceededException", {}),
        ("sqs", "DeleteMessageBatch", "RequestThrottled", {"Successful": [], "Failed": []}),
        ("ec2", "DescribeSubnets", "EC2ThrottledException", {"Subnets": []}),
        ("ec2", "DescribeSubnets", "RequestLimitExceeded", {"Subnets": []}),
    ],
)
async def test_throttling_of_each_service_is_retried(
    service: str, operation: str, code: str, answer: Any
) -> None:
    method, calls = failing(code, "slow down", 2, answer)
    aws = fake_aws(attempts=3, services={service: {operation: method}})
    assert await aws.call(service, operation) == answer
    assert len(calls) == 3


def test_the_codes_are_those_that_botocore_knows() -> None:
    known = set(vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"])
    assert known - THROTTLES == {"LimitExceededException", "TransactionInProgressException"}


async def test_revisions_that_are_registered_at_once_are_retried() -> None:
    definition: dict[str, Any] = {
        "taskDefinitionArn": "a",
        "family": "f",
        "revision": 1,
        "status": "ACTIVE",
    }
    definition |= {"containerDefinitions": []}
    method, calls = failing("ClientException", CONCURRENT, 1, {"taskDefinition": definition})
    aws = fake_aws(attempts=3, ecs={"RegisterTaskDefinition": method})
    await aws.call("ecs", "RegisterTaskDefinition", family="f", containerDefinitions=[])
    assert len(calls) == 2
    method, calls = failing("ClientException", "Invalid memory", 1, {})
    aws = fake_aws(attempts=3, ecs={"RegisterTaskDefinition": method})
    with pytest.raises(AwsError, match="Invalid memory"):
        await aws.call("ecs", "RegisterTaskDefinition", family="f", containerDefinitions=[])
    assert len(calls) == 1


class Ecs:
    """ECS as far as one service goes: created, lost from view, deleted."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.fails = 0

    def create_service(self, **asked: Any) -> Any:
        self.tokens.append(asked["clientToken"])
        if self.fails:
            self.fails -= 1
            raise ClientError({"Error": {"Code": "ServerException", "Message": "?"}}, "Create")
        return {"service": self._service()}

    def describe_services(self, **_: Any) -> Any:
        return {"services": [self._service()], "failures": []}

    def delete_service(self, **_: Any) -> Any:
        return {"service": self._service()}

    def _service(self) -> dict[str, Any]:
        counts = {"desiredCount": 1, "runningCount": 1, "pendingCount": 0}
        tags = [{"key": "ecs-dynamo:graph", "value": "g"}]
        return {"serviceArn": "a", "serviceName": "s", "status": "ACTIVE", "tags": tags, **counts}


def executor_of(ecs: Ecs, attempts: int) -> Executor:
    operations = {
        "CreateService": ecs.create_service,
        "DescribeServices": ecs.describe_services,
        "DeleteService": ecs.delete_service,
    }

    async def never(_: Any) -> bool:
        raise AssertionError

    aws = fake_aws(attempts=attempts, ecs=operations)
    return Executor(aws, "g", GraphCache(), lambda: 0.0, never)


def plan_of(*actions: Any) -> Plan:
    return Plan("g", actions, (), (), Endpoints(), (), {}, (), Memory(0.0))


CREATE = CreateService(
    component="a",
    reason="r",
    cluster="c",
    service="s",
    revision=RevisionRef("f", "1", "arn:f:1"),
    desired=1,
    settings=ServiceSettings(),
)
DELETE = DeleteService(component="a", reason="r", cluster="c", service="s")


async def test_attempts_at_one_creation_have_one_token_across_passes() -> None:
    ecs = Ecs()
    executor = executor_of(ecs, attempts=2)
    ecs.fails = 3
    for _ in range(2):
        await executor.execute(plan_of(CREATE))
    assert len(ecs.tokens) == 4
    assert len(set(ecs.tokens)) == 1
    assert 0 < len(ecs.tokens[0]) <= 36


async def test_what_is_created_again_after_it_was_deleted_has_another_token() -> None:
    ecs = Ecs()
    executor = executor_of(ecs, attempts=1)
    await executor.execute(plan_of(CREATE))
    await executor.execute(plan_of(DELETE))
    await executor.execute(plan_of(CREATE))
    # Another process does as this one does.
    await executor_of(ecs, attempts=1).execute(plan_of(CREATE))
    assert len(set(ecs.tokens)) == 3


async def test_a_creation_that_is_no_longer_planned_is_over() -> None:
    """It took effect though the call failed; another process deleted it since."""
    ecs = Ecs()
    executor = executor_of(ecs, attempts=1)
    ecs.fails = 1
    await executor.execute(plan_of(CREATE))
    await executor.execute(plan_of())
    await executor.execute(plan_of(CREATE))
    assert len(set(ecs.tokens)) == 2
