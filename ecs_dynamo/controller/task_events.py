"""ECS's own events from EventBridge through SQS: they only say "look now".

What an event tells is never acted on: passes look for themselves, so doubled, late and reordered
events are harmless, and a lost one is made good by the timer. Messages are deleted once they have
woken their graph; one that comes back wakes it again.

EC2's notices of a spot instance's end say more: ECS does not know of it unless its agent is set to
(``ECS_ENABLE_SPOT_INSTANCE_DRAINING``). Their messages stay in the queue until the notice is over,
so that a daemon that dies meanwhile is told again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Notice
from ecs_dynamo.planning.iam import DETAIL_TYPES, NOTICE_TYPES

_log = structlog.get_logger(__name__)

WAIT_SECONDS = 10
"""Long poll; below the client's read timeout."""
RETRY_SECONDS = 15.0
BATCH = 10
INTERRUPTION = NOTICE_TYPES[0]
NOTICE_SECONDS = 300.0
"""A notice is over by then: the instance ended two minutes after it."""


def clusters_of(bodies: list[str]) -> set[str] | None:
    """Names of the clusters that the messages are about; None where one does not tell."""
    found: set[str] = set()
    for body in bodies:
        try:
            event = json.loads(body)
            if event.get("detail-type") not in DETAIL_TYPES:
                continue
            arn = event["detail"].get("clusterArn")
        except (ValueError, KeyError, AttributeError, TypeError):
            continue  # Not an event of ECS: nothing to look at.
        if not isinstance(arn, str):
            return None
        found.add(arn.rsplit("/", 1)[-1])
    return found


def notices_of(bodies: list[str], now: float) -> dict[str, Notice]:
    """EC2's notices that are not over, by instance id."""
    found: dict[str, Notice] = {}
    for body in bodies:
        try:
            event = json.loads(body)
            kind, instance = event["detail-type"], event["detail"]["instance-id"]
            at = datetime.fromisoformat(event["time"]).timestamp()
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
        if kind not in NOTICE_TYPES or not isinstance(instance, str):
            continue
        notice = Notice(at, interruption=kind == INTERRUPTION)
        known = found.get(instance)
        if now - at < NOTICE_SECONDS and (known is None or not known.interruption):
            found[instance] = notice
    return found


Wake = Callable[[set[str] | None, Mapping[str, Notice]], None]


class TaskEvents:
    """Reads the queue for ever; ``wake`` is given the clusters to look at (None for all), and
    EC2's notices. ``clock`` gives UTC seconds."""

    def __init__(
        self, aws: Aws, queue_url: str, wake: Wake, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._aws = aws
        self._queue_url = queue_url
        self._wake = wake

    async def run(self) -> None:
        """Until cancelled. A queue that fails is logged and tried again: the timer still runs."""
        while True:
            try:
                await self._once()
            except AwsError as error:
                _log.warning("events not read", queue=self._queue_url, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _once(self) -> None:
        answer = await self._aws.call(
            "sqs",
            "ReceiveMessage",
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=WAIT_SECONDS,
        )
        messages = answer.get("Messages", [])
        if not messages:
            return
        now = self._clock()
        notices = notices_of([m.get("Body", "") for m in messages], now)
        clusters = clusters_of([m.get("Body", "") for m in messages])
        if clusters is None or clusters or notices:
            self._wake(None if notices else clusters, notices)
        done = [m for m in messages if not notices_of([m.get("Body", "")], now)]
        if not done:
            return
        await self._aws.call(
            "sqs",
            "DeleteMessageBatch",
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(done)
            ],
        )
