"""ECS's events wake the daemon; whatever else is in the queue does no harm."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from aiobotocore.session import AioSession

from ecs_dynamo.controller.task_events import clusters_of
from ecs_dynamo.demo.daemon import DemoDaemon
from tests.integration.stack import REGION, Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def event(cluster: str = "dynamo-GPU", kind: str = "ECS Task State Change") -> str:
    arn = f"arn:aws:ecs:us-east-1:123456789012:cluster/{cluster}"
    return json.dumps({"source": "aws.ecs", "detail-type": kind, "detail": {"clusterArn": arn}})


def test_clusters_are_read_from_events_and_junk_is_passed_over() -> None:
    assert clusters_of([event("a"), event("b"), event("a")]) == {"a", "b"}
    junk = ["", "{}", "[1]", "null", '"x"', json.dumps({"detail-type": "EC2 Something"})]
    assert clusters_of(junk) == set()
    vague = json.dumps({"detail-type": "ECS Service Action", "detail": {}})
    assert clusters_of([event("a"), vague]) is None


async def test_an_event_is_answered_long_before_the_timer(stack: Stack) -> None:
    keys: Any = {"endpoint_url": stack.url, "region_name": REGION}
    keys |= {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    async with AioSession().create_client("sqs", **keys) as sqs:
        url = (await sqs.create_queue(QueueName=f"events-{time.time_ns()}"))["QueueUrl"]
        stack.edit(lambda d: d["components"][2].pop("scaling"))
        environ = stack.environ | {
            "ECS_DYNAMO_RESYNC_SECONDS": "600",
            "ECS_DYNAMO_EVENT_QUEUE_URL": url,
        }
        daemon = DemoDaemon(stack.graph_file, environ, stack.folder / "daemon.log")
        await daemon.start()
        try:
            before = await daemon.until("converged", lambda s: bool(s.get("converged")), 60)
            # Twice, out of order and beside junk: one look is all it takes.
            for body in ("junk", event("other-cluster"), event(), event()):
                await sqs.send_message(QueueUrl=url, MessageBody=body)
            await daemon.until("looked again", lambda s: s["passId"] != before["passId"], 30)

            async def left() -> int:
                names: Any = ["ApproximateNumberOfMessages"]
                answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
                return int(answer["Attributes"]["ApproximateNumberOfMessages"])

            assert await left() == 0
        finally:
            code, seconds = await daemon.stop()
        assert (code, seconds < 25) == (0, True)
