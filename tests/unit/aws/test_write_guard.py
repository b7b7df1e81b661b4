"""A write is attempted, and retried, only while the lease is held under which it was decided."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_dynamo.aws.client import Aws, AwsOptions
from ecs_dynamo.aws.execute.executor import Executor
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.write_guard import writes_guarded
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import Endpoints, Memory, Plan, UpdateService

OPTIONS = AwsOptions(attempts=6, backoff=Backoff(2.0, 2.0))


class Ecs:
    """A client whose calls throttle, or never end, and note when they were made."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.at: list[float] = []
        model = SimpleNamespace(operation_model=lambda _: SimpleNamespace(output_shape=None))
        self.meta = SimpleNamespace(service_model=model)

    async def update_service(self, **_: Any) -> None:
        self.at.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.sleep(10_000)
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateService")

    describe_services = update_service


def aws_of(client: Ecs) -> Aws:
    return Aws({"ecs": client}, OPTIONS, lambda: 1.0)


def lease_of(seconds: float) -> Any:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    return lambda: end - loop.time()


@pytest.mark.looptime
async def test_a_retry_does_not_outlive_the_lease() -> None:
    client = Ecs()
    aws = aws_of(client)
    with writes_guarded(lease_of(3.5)), pytest.raises(AwsError) as caught:
        await aws.call("ecs", "UpdateService", cluster="c", service="s")
    assert caught.value.code == "LeaseLost"
    assert "ThrottlingException" in str(caught.value)
    assert 1 < len(client.at) < OPTIONS.attempts
    assert max(client.at) - min(client.at) < 3.5


@pytest.mark.looptime
async def test_an_attempt_ends_with_the_lease() -> None:
    client = Ecs(hangs=True)
    loop = asyncio.get_running_loop()
    before = loop.time()
    with writes_guarded(lease_of(3.0)), pytest.raises(AwsError, match="LeaseLost"):
        await aws_of(client).call("ecs", "UpdateService", cluster="c", service="s")
    assert len(client.at) == 1
    assert loop.time() - before <= 3.0 + OPTIONS.backoff.longest


@pytest.mark.looptime
async def test_reads_and_writes_of_no_leader_are_not_guarded() -> None:
    client = Ecs()
    aws = aws_of(client)
    with writes_guarded(lambda: 0.0), pytest.raises(AwsError, match="Throttling"):
        await aws.call("ecs", "DescribeServices", cluster="c", services=["s"])
    with pytest.raises(AwsError, match="Throttling"):
        await aws.call("ecs", "UpdateService", cluster="c", service="s")
    assert len(client.at) == 2 * OPTIONS.attempts


@pytest.mark.looptime
async def test_a_former_leader_does_not_reset_a_count() -> None:
    """The lease is lost while an UpdateService is retried: nothing more is sent."""
    client = Ecs()
    counts = {"desiredCount": 2, "runningCount": 2, "pendingCount": 0}
    there = {"serviceArn": "a", "serviceName": "s", "status": "ACTIVE", **counts}
    there |= {"tags": [{"key": "ecs-dynamo:graph", "value": "g"}]}

    async def describe(**_: Any) -> dict[str, Any]:
        return {"services": [there], "failures": []}

    client.describe_services = describe  # type: ignore[method-assign, assignment]  # a read that succeeds

    async def never(_: Any) -> bool:
        raise AssertionError

    loop = asyncio.get_running_loop()
    executor = Executor(aws_of(client), "g", GraphCache(), loop.time, never)
    action = UpdateService(component="a", reason="r", cluster="c", service="s", desired=1)
    outcome = Plan("g", (action,), (), (), Endpoints(), (), {}, (), Memory(0.0))
    lost_at = loop.time() + 2.5
    (result,) = await executor.execute(outcome, seconds_left=lambda: lost_at - loop.time())
    assert not result.ok
    assert "LeaseLost" in (result.error or "")
    assert max(client.at) < lost_at
