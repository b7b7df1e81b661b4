"""ECS's events wake the daemon, set up as an operator does; no queue content is harmful."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.aws.client import AwsOptions
from ecs_dynamo.aws.rate_limits import is_write
from ecs_dynamo.controller.triggers import ecs_events
from ecs_dynamo.controller.triggers.ecs_events import follow_events
from ecs_dynamo.demo.daemon import DemoDaemon, component
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.local.wire.protocol import ACCOUNT
from tests.integration.stack import (
    EXAMPLE,
    REGION,
    Stack,
    running_tasks,
    until,
    worker_apart_from_the_frontend,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

OPERATIONS = EXAMPLE.parents[1] / "docs" / "operations.md"


async def wire(stack: Stack) -> str:
    """Run the commands of docs/operations.md unchanged; return the queue's URL."""
    section = OPERATIONS.read_text().split("### Events")[1]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
    }
    # Not AWS_ENDPOINT_URL: version 1 of the CLI ignores it for SQS.
    wrapper = f'aws() {{ command aws --endpoint-url {stack.url} "$@"; }}\n'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", wrapper + block[1] + "echo $QUEUE_URL"),
        cwd=stack.folder,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode().split()[-1]


@asynccontextmanager
async def listening(stack: Stack, url: str) -> AsyncIterator[DemoDaemon]:
    """A converged daemon whose timer runs once per hour."""
    stack.event_queue = url.rsplit("/", 1)[-1]
    stack.edit(lambda d: d["components"][2].pop("scaling"))
    environ = stack.environ | {
        "ECS_DYNAMO_RESYNC_SECONDS": "3600",
        "ECS_DYNAMO_EVENT_QUEUE_URL": url,
    }
    daemon = DemoDaemon(stack.graph_file, environ, stack.folder / "daemon.log")
    await daemon.start()
    try:
        await daemon.until("converged", lambda s: bool(s.get("converged")), 60)
        yield daemon
    finally:
        code, seconds = await daemon.stop()
    assert (code, seconds < 25) == (0, True)


class Queue:
    """The queue under the test's own client."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            await self._sqs.send_message(QueueUrl=self._url, MessageBody=body)

    async def count(self) -> int:
        """Return the number of messages that wait or are being read."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    async def emptied(self) -> None:
        async def empty() -> bool:
            return await self.count() == 0

        await until("the queue is empty", empty, 15)


async def settled(daemon: DemoDaemon, queue: Queue) -> dict[str, Any]:
    """Return the status once all events are read and no pass is in progress."""
    for _ in range(20):
        await queue.emptied()
        before = await daemon.until("converged", lambda s: bool(s.get("converged")), 30)
        await asyncio.sleep(1.5)  # Longer than a wake-up and its pass take: nothing must happen.
        if (await daemon.fetch_status())["passId"] == before["passId"]:
            return before
    raise AssertionError("the daemon does not settle")


async def test_an_event_is_answered_at_once_and_noise_does_no_harm(stack: Stack) -> None:
    url = await wire(stack)
    async with stack.client("sqs") as sqs, listening(stack, url) as daemon:
        queue = Queue(sqs, url)
        before = await settled(daemon, queue)

        # An instance without tasks: only ECS's event reports it.
        idle = next(
            i
            for i in stack.local.state.instances.values()
            if not any(t.instance is i for t in stack.local.state.tasks.values())
        )
        await stack.aws(
            "UpdateContainerInstancesState",
            cluster="dynamo-GPU",
            containerInstances=[idle.arn],
            status="DRAINING",
        )
        await daemon.until("a pass has run", lambda s: s["passId"] != before["passId"], 10)

        # A task that ends is replaced, and the daemon follows until it serves.
        old = next(iter(running_tasks(stack, "decode")))
        await stack.aws("StopTask", cluster="dynamo-GPU", task=old.arn, reason="test")

        def replaced(status: dict[str, Any]) -> bool:
            ready = [t["arn"] for t in component(status, "decode").get("tasks", ()) if t["ready"]]
            return bool(status["converged"]) and ready != [] and old.arn not in ready

        await daemon.until("replaced", replaced, 45)
        await settled(daemon, queue)
        status = daemon.queue
        assert status["problem"] is None
        assert status["messages"]["event"] >= 5

        # Junk, foreign events, and a service's whole history again, twice and backwards.
        arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:"
        history = [
            json.dumps(
                {
                    "source": "aws.ecs",
                    "detail-type": "ECS Task State Change",
                    "resources": [old.arn],
                    "detail": {
                        "clusterArn": f"{arn}cluster/dynamo-GPU",
                        "taskArn": old.arn,
                        "lastStatus": status,
                        "version": version,
                    },
                }
            )
            for version, status in enumerate(("PENDING", "RUNNING", "DEACTIVATING", "STOPPED"), 1)
        ]
        writes = [c for c in stack.local.calls if "ecs-dynamo" in c.agent and of_ecs(c)]
        await queue.send("junk", "{}", *reversed(history), *reversed(history))
        await settled(daemon, queue)
        after = [c for c in stack.local.calls if "ecs-dynamo" in c.agent and of_ecs(c)]
        assert after == writes
        status = daemon.queue
        assert status["messages"]["malformed"] == 2
        log = (stack.folder / "daemon.log").read_text()
        assert log.count("dropped a message that is not an event") == 2


def of_ecs(call: Any) -> bool:
    return call.service == "ecs" and is_write(call.operation)


async def wire_notices(stack: Stack) -> str:
    """Create the second rule and its queue from the documents; return the queue's URL."""
    documents = render_iam(stack.graph, REGION, ACCOUNT, queue="notices")
    policy = json.dumps(documents["events-queue-policy.json"])
    pattern = json.dumps(documents["notices-rule-pattern.json"])
    target = {"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:notices"}
    async with (
        stack.client("sqs") as sqs,
        stack.client("events") as events,
    ):
        created = await sqs.create_queue(QueueName="notices", Attributes={"Policy": policy})
        await events.put_rule(Name="notices", EventPattern=pattern)
        await events.put_targets(Rule="notices", Targets=[target])
    return str(created["QueueUrl"])


async def test_a_spot_notice_moves_what_runs_there_before_its_end(stack: Stack) -> None:
    url = await wire_notices(stack)
    async with listening(stack, url) as daemon:
        await stack.observe()
        _, old = worker_apart_from_the_frontend(stack)
        stack.local.warn_of_interruption(old.instance.arn)
        noticed = time.monotonic()
        async with stack.traffic() as traffic:
            async with traffic.background("load", 2, words=20, tokens=8, pause=0.1):
                await daemon.until(
                    "moved", lambda s: bool(s.get("converged")) and not old.alive, 100
                )
            failed = [r.error for r in traffic.done if r.error]
        assert time.monotonic() - noticed < 100
        assert old.instance.status == "DRAINING"
        assert not failed


async def test_a_queue_that_comes_later_is_read_then(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecs_events, "RETRY_SECONDS", 0.2)
    woken, problems = asyncio.Event(), list[str | None]()
    url = f"{stack.url}/{ACCOUNT}/later"
    stack.event_queue = "later"
    options = AwsOptions(endpoint_url=stack.url, region=REGION)
    async with (
        stack.client("sqs") as sqs,
        follow_events(options, url, lambda *_: woken.set(), problems.append) as events,
    ):

        async def reported() -> bool:
            return bool(problems)

        await until("the problem is reported", reported, 10)
        assert "later" in str(problems) or "queue" in str(problems).lower()
        await sqs.create_queue(QueueName="later")
        detail = {"clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/x"}
        body = {"detail-type": "ECS Service Action", "detail": detail}
        await Queue(sqs, url).send(json.dumps(body))
        async with asyncio.timeout(10):
            await woken.wait()
        assert events.messages[ecs_events.MessageKind.EVENT] == 1
