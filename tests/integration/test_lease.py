"""Leadership among several daemons: at most one acts, whatever is lost or slow."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.controller.leadership.dynamodb import DynamoDbLease
from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.model.errors import AwsError
from tests.integration.stack import REGION, Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def create_table(url: str) -> str:
    """Create a table for each test with a client of the test's own; return its name."""
    name = f"leases-{uuid.uuid4().hex[:8]}"
    async with AioSession().create_client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    ) as client:
        await client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "graph", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "graph", "AttributeType": "S"}],
        )
    return name


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[tuple[Aws, str]]:
    """A client and a table."""
    table = tmp_path / "images.yaml"
    table.write_text('images:\n  - match: "busybox"\n')
    async with (
        LocalEcs(images=ImageTable.load(table), directory=tmp_path / "ecs") as local,
        open_aws(
            AwsOptions(endpoint_url=local.endpoint_url, region=REGION), ("dynamodb",)
        ) as client,
    ):
        yield client, await create_table(local.endpoint_url)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_other_takes_over_after_a_lease_of_silence(
    aws: tuple[Aws, str],
) -> None:
    clock = Clock()
    first, second = (DynamoDbLease(*aws, "g", name, 30.0, clock) for name in ("a", "b"))
    assert await first.acquire()
    assert not await second.acquire()
    for _ in range(8):  # It is renewed, so it is never silent for a whole lease.
        clock.now += 10
        assert await first.acquire()
        assert not await second.acquire()
    token = first.token
    clock.now += 29
    assert not first.is_leader  # It stops before any rival may begin.
    assert not await second.acquire()
    clock.now += 1
    assert await second.acquire()
    assert second.token == token + 1
    assert not await first.acquire()
    await first.release()  # Releasing a lease that it does not hold has no effect.
    assert await second.acquire()
    await second.release()
    assert await first.acquire()
    assert first.token == token + 2


async def test_graphs_have_leases_of_their_own(aws: tuple[Aws, str]) -> None:
    clock = Clock()
    assert await DynamoDbLease(*aws, "g", "a", 30.0, clock).acquire()
    assert await DynamoDbLease(*aws, "h", "b", 30.0, clock).acquire()


class Table:
    """A model of DynamoDB with one item, whose calls may fail before or after their effect."""

    def __init__(self) -> None:
        self.item: dict[str, Any] = {}
        self.fault = "none"

    async def call(self, service: str, operation: str, /, **asked: Any) -> dict[str, Any]:
        assert (service, operation) == ("dynamodb", "UpdateItem")
        fault, self.fault = self.fault, "none"
        if fault == "before":
            raise AwsError(operation, "Unreachable", "lost")
        values = asked["ExpressionAttributeValues"]
        holder, condition = self.item.get("holder"), asked["ConditionExpression"]
        fine = holder == values[":me"]["S"]
        fine = fine or ("attribute_not_exists" in condition and holder is None)
        fine = fine or (
            ":rival" in values
            and holder == values[":rival"]["S"]
            and str(self.item.get("renewals")) == values[":seen"]["N"]
        )
        if not fine:
            raise AwsError(operation, "ConditionalCheckFailedException", "", self.shaped())
        if asked["UpdateExpression"].startswith("REMOVE"):
            self.item.pop("holder")
        else:
            self.item["holder"] = values[":me"]["S"]
            self.item["renewals"] = self.item.get("renewals", 0) + 1
            if "fence" in asked["UpdateExpression"]:
                self.item["fence"] = self.item.get("fence", 0) + 1
        if fault == "after":
            raise AwsError(operation, "Unreachable", "lost after its effect")
        return {"Attributes": self.shaped()}

    def shaped(self) -> dict[str, Any]:
        return {k: {"S": v} if isinstance(v, str) else {"N": str(v)} for k, v in self.item.items()}


STEP = st.tuples(
    st.sampled_from(["acquire", "acquire", "acquire", "release", "crash"]),
    st.integers(0, 2),
    st.sampled_from(["none", "none", "before", "after"]),
    st.floats(0, 20),
)


@given(st.lists(STEP, max_size=60))
@settings(deadline=None, max_examples=200)
def test_never_two_leaders(steps: list[tuple[str, int, str, float]]) -> None:
    """One daemon leads at a time, with any loss, delay or crash; fencing tokens only grow."""
    clock, table = Clock(), Table()
    names = iter(range(1000))

    def daemon() -> DynamoDbLease:
        return DynamoDbLease(table, "t", "g", f"d{next(names)}", 30.0, clock)  # type: ignore[arg-type]  # same face

    daemons = [daemon() for _ in range(3)]
    tokens: list[int] = []

    async def play() -> None:
        for kind, index, fault, pause in steps:
            clock.now += pause
            table.fault = fault
            lease = daemons[index]
            if kind == "crash":
                daemons[index] = daemon()
            elif kind == "release":
                await lease.release()
                assert not lease.is_leader
            elif await lease.acquire():
                tokens.append(lease.token)
            assert sum(d.is_leader for d in daemons) <= 1

    asyncio.run(play())
    assert tokens == sorted(tokens)


async def test_daemons_hand_over_at_once_on_sigterm_and_after_a_crash(stack: Stack) -> None:
    stack.lease_table = await create_table(stack.url)
    environ = stack.environ | {
        "ECS_DYNAMO_LEASE_TABLE": stack.lease_table,
        "ECS_DYNAMO_LEASE_SECONDS": "4",
    }
    daemons = [DemoDaemon(stack.graph_file, environ, stack.folder / f"{n}.log") for n in range(3)]
    for daemon in daemons:
        await daemon.start()
    first, second, third = daemons
    await first.until("leads and converged", lambda s: bool(s.get("leads") and s["converged"]), 60)
    assert [d.status.get("leads") for d in (second, third)] != [True, True]
    code, _ = await first.stop()
    assert code == 0
    rivals = [second, third]
    leader = await leader_of(rivals, 8)
    (other,) = [d for d in rivals if d is not leader]
    leader.kill()
    await other.until("takes over", lambda s: bool(s.get("leads") and s["converged"]), 30)
    code, _ = await other.stop()
    assert code == 0
    await stack.observe()
    await stack.chat()


async def leader_of(daemons: list[DemoDaemon], timeout: float) -> DemoDaemon:
    """Return the daemon that leads within ``timeout`` seconds."""
    waits = {
        asyncio.create_task(d.until("leads", lambda s: bool(s.get("leads")), timeout)): d
        for d in daemons
    }
    done, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return waits[done.pop()]
