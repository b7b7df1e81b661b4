"""ECS's events wake the daemon; whatever else is in the queue does no harm."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from aiobotocore.session import AioSession

from ecs_dynamo.controller.task_events import NOTICE_SECONDS, clusters_of, notices_of
from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.planning.iam import NOTICE_TYPES
from tests.integration.stack import REGION, Stack
from tests.integration.test_rollouts import worker_apart_from_the_frontend

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def notice(instance: str, kind: str, age: float = 0.0) -> str:
    at = datetime.fromtimestamp(time.time() - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    detail = {"instance-id": instance, "instance-action": "terminate"}
    return json.dumps({"source": "aws.ec2", "detail-type": kind, "time": at, "detail": detail})


def event(cluster: str = "dynamo-GPU", kind: str = "ECS Task State Change") -> str:
    arn = f"arn:aws:ecs:us-east-1:123456789012:cluster/{cluster}"
    return json.dumps({"source": "aws.ecs", "detail-type": kind, "detail": {"clusterArn": arn}})


def test_clusters_are_read_from_events_and_junk_is_passed_over() -> None:
    assert clusters_of([event("a"), event("b"), event("a")]) == {"a", "b"}
    junk = ["", "{}", "[1]", "null", '"x"', json.dumps({"detail-type": "EC2 Something"})]
    assert clusters_of(junk) == set()
    vague = json.dumps({"detail-type": "ECS Service Action", "detail": {}})
    assert clusters_of([event("a"), vague]) is None


def test_notices_are_read_from_events_and_old_ones_are_over() -> None:
    warning, advice = NOTICE_TYPES
    now = time.time()
    found = notices_of(
        [
            notice("i-1", advice),
            notice("i-1", warning),
            notice("i-1", advice),
            notice("i-2", advice),
            notice("i-3", warning, age=NOTICE_SECONDS + 5),
            json.dumps({"detail-type": warning, "detail": {}}),
            json.dumps({"detail-type": warning, "time": "soon", "detail": {"instance-id": "i-4"}}),
            event(),
            "junk",
        ],
        now,
    )
    assert {k: n.interruption for k, n in found.items()} == {"i-1": True, "i-2": False}
    assert clusters_of([notice("i-1", warning)]) == set()


async def test_a_spot_notice_moves_what_runs_there_before_its_end(stack: Stack) -> None:
    keys: Any = {"endpoint_url": stack.url, "region_name": REGION}
    keys |= {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    async with AioSession().create_client("sqs", **keys) as sqs:
        url = (await sqs.create_queue(QueueName=f"notices-{time.time_ns()}"))["QueueUrl"]
        stack.edit(lambda d: d["components"][2].pop("scaling"))
        environ = stack.environ | {
            "ECS_DYNAMO_RESYNC_SECONDS": "600",
            "ECS_DYNAMO_EVENT_QUEUE_URL": url,
        }
        daemon = DemoDaemon(stack.graph_file, environ, stack.folder / "daemon.log")
        await daemon.start()
        try:
            await daemon.until("converged", lambda s: bool(s.get("converged")), 60)
            await stack.look()
            assert stack.local is not None
            _, old = worker_apart_from_the_frontend(stack)
            await sqs.send_message(
                QueueUrl=url, MessageBody=notice(old.instance.ec2_id, NOTICE_TYPES[0])
            )
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
        finally:
            code, seconds = await daemon.stop()
        assert (code, seconds < 25) == (0, True)


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
