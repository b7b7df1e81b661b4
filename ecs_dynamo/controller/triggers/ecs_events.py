"""ECS's own events from EventBridge through SQS: they only say "look now".

What an event tells is never acted on: passes look for themselves, so doubled, late and reordered
events are harmless, and a lost one is made good by the timer. Messages are deleted once they have
woken their graph; one that comes back wakes it again. What is no event is deleted too, with a
warning: it would come back for ever.

EC2's notices of a spot instance's end say more: ECS does not know of it unless its agent is set to
(``ECS_ENABLE_SPOT_INSTANCE_DRAINING``). Their messages stay in the queue until the notice is over,
so that a daemon that dies meanwhile is told again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.model.ecs.events import (
    DETAIL_TYPES,
    NOTICE_TYPES,
    is_over,
)
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Notice

_log = structlog.get_logger(__name__)

WAIT_SECONDS = 20
"""The longest poll that SQS has; the client's read time-out must be above it."""
VISIBILITY_SECONDS = 30
"""When a message that was not deleted comes back: whatever the queue is set to."""
RETRY_SECONDS = 15.0
BATCH = 10
INTERRUPTION = NOTICE_TYPES[0]
_REGION = re.compile(r"//sqs\.([a-z0-9-]+)\.")


def queue_region(url: str) -> str | None:
    """The Region in a queue's URL, where it tells."""
    found = _REGION.search(url)
    return found[1] if found else None


KINDS = ("event", "notice", "other", "malformed")


@dataclass(frozen=True, slots=True)
class Told:
    """What one message says; ``kind`` is one of `KINDS`.

    ``cluster`` is the name of the one that an event is about, None where it does not tell.
    """

    kind: str
    cluster: str | None = None
    instance: str = ""
    notice: Notice | None = None


def read(body: str) -> Told:
    """Understand a message. Never raises: a queue may hold anything."""
    try:
        event = json.loads(body)
        kind, detail = event["detail-type"], event["detail"]
        if kind in DETAIL_TYPES:
            return Told("event", cluster=_cluster(event))
        if kind not in NOTICE_TYPES:
            return Told("other")
        instance, at = detail["instance-id"], datetime.fromisoformat(event["time"]).timestamp()
        if isinstance(instance, str):
            notice = Notice(at, interruption=kind == INTERRUPTION)
            return Told("notice", instance=instance, notice=notice)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        pass
    return Told("malformed")


def _cluster(event: Mapping[str, Any]) -> str | None:
    arn = event["detail"].get("clusterArn")
    if isinstance(arn, str):
        return arn.rsplit("/", 1)[-1]
    # A deployment's event has the service's ARN alone: ``service/cluster/name``.
    for resource in event.get("resources", ()):
        parts = str(resource).rsplit(":", 1)[-1].split("/")
        if len(parts) == 3:
            return parts[1]
    return None


def current_notices(told: Iterable[Told], now: float) -> dict[str, Notice]:
    """The notices that are not over, by instance id; of several the one that is certain."""
    found: dict[str, Notice] = {}
    for one in told:
        if one.notice is None or is_over(one.notice, now):
            continue
        known = found.get(one.instance)
        if known is None or not known.interruption:
            found[one.instance] = one.notice
    return found


Wake = Callable[[set[str] | None, Mapping[str, Notice]], None]


class TaskEvents:
    """Reads the queue for ever; ``wake`` is given the clusters to look at (None for all), and
    EC2's notices by instance id; ``on_problem`` is told when the queue fails (why), and when it
    answers again (None). ``clock`` gives UTC seconds, by default AWS's."""

    def __init__(
        self,
        aws: Aws,
        queue_url: str,
        wake: Wake,
        on_problem: Callable[[str | None], None] = lambda _: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock or (lambda: aws.clock.now().wall)
        self.aws = aws
        self._queue_url = queue_url
        self._wake = wake
        self._on_problem = on_problem
        self._noticed: Mapping[str, Notice] = {}
        self.problem: str | None = None
        self.messages: Counter[str] = Counter()
        """Messages so far, by kind."""

    def status(self) -> dict[str, Any]:
        """The queue's part of `/status`."""
        return {"problem": self.problem, "messages": dict(self.messages)}

    async def run(self) -> None:
        """Until cancelled. A queue that fails is tried again: meanwhile the timer still runs."""
        while True:
            try:
                await self._once()
                self._became(None)
            except AwsError as error:
                self._became(str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:
                # What was not thought of must not make the daemon deaf for ever.
                _log.exception("events not read")
                self._became(str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    def _became(self, problem: str | None) -> None:
        """Say once that the queue fails, and once that it answers again."""
        if problem == self.problem:
            return
        self.problem = problem
        if problem is not None:
            _log.warning("events not read, the timer goes on", queue=self._queue_url, error=problem)
        else:
            _log.info("events are read again", queue=self._queue_url)
        self._on_problem(problem)

    async def _once(self) -> None:
        answer = await self.aws.call(
            "sqs",
            "ReceiveMessage",
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=VISIBILITY_SECONDS,
        )
        found = [(m, read(m.get("Body", ""))) for m in answer.get("Messages", [])]
        if not found:
            return
        self.messages.update(told.kind for _, told in found)
        for message, told in found:
            if told.kind == "malformed":
                _log.warning("a message that is no event was dropped", id=message.get("MessageId"))
        now = self._clock()
        notices = current_notices((told for _, told in found), now)
        # They come back until they are over: each is news once.
        news = {k: n for k, n in notices.items() if self._noticed.get(k) != n}
        self._noticed = {k: n for k, n in self._noticed.items() if not is_over(n, now)} | news
        clusters = {told.cluster for _, told in found if told.kind == "event"}
        if news or None in clusters:
            self._wake(None, news)
        elif clusters:
            self._wake({c for c in clusters if c is not None}, {})
        done = [m for m, told in found if told.notice is None or is_over(told.notice, now)]
        if done:
            await self._delete(done)

    async def _delete(self, messages: list[dict[str, Any]]) -> None:
        answer = await self.aws.call(
            "sqs",
            "DeleteMessageBatch",
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)
            ],
        )
        for failure in answer.get("Failed", []):
            # It comes back, and wakes its graph once more.
            _log.info("message not deleted", why=failure.get("Code"))


@asynccontextmanager
async def following(
    options: AwsOptions,
    queue_url: str,
    wake: Wake,
    on_problem: Callable[[str | None], None] = lambda _: None,
) -> AsyncIterator[TaskEvents]:
    """A reader of the queue with a client of its own, in the background until left."""
    options = replace(
        options,
        region=queue_region(queue_url) or options.region,
        read_timeout=WAIT_SECONDS + 10.0,
    )
    async with open_aws(options, ("sqs",)) as aws:
        events = TaskEvents(aws, queue_url, wake, on_problem)
        reader = asyncio.create_task(events.run(), name="events")
        try:
            yield events
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
