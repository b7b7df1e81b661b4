"""ECS events, delivered by EventBridge through SQS: they only say which graphs to observe now.

The content of an event is never acted on. Passes observe for themselves, so repeated, late and
reordered events are harmless, and the timer makes up for a lost one. A message is deleted after it
has woken its graph; one that returns wakes it again. A message that is not an event is deleted too,
with a warning, because otherwise it would return indefinitely.

EC2's notices that a spot instance ends carry more: ECS does not know about it unless its agent is
configured to (``ECS_ENABLE_SPOT_INSTANCE_DRAINING``). Their messages stay in the queue until the
notice is over, so that a daemon that restarts meanwhile receives them again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.aws.resources.queue import ReceivedMessage, delete_messages, receive_messages
from ecs_dynamo.common.arns import parse_arn, resource_name
from ecs_dynamo.model.ecs.events import (
    DETAIL_TYPES,
    NOTICE_TYPES,
    Notice,
    is_over,
)
from ecs_dynamo.model.errors import AwsError

_log = structlog.get_logger(__name__)

WAIT_SECONDS = 20
"""SQS's longest poll. The client's read timeout must be longer."""
VISIBILITY_SECONDS = 30
"""When a message that was not deleted returns, whatever the queue's own setting is."""
RETRY_SECONDS = 15.0
INTERRUPTION = NOTICE_TYPES[0]
_REGION = re.compile(r"//sqs\.([a-z0-9-]+)\.")


def queue_region(url: str) -> str | None:
    """Return the Region in the URL of a queue, or None for a custom endpoint."""
    match = _REGION.search(url)
    return match[1] if match else None


class MessageKind(StrEnum):
    """The kind of a message in the queue; a label of the metric that counts them."""

    EVENT = "event"
    NOTICE = "notice"
    OTHER = "other"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """The content of one message.

    ``cluster`` is the name of an event's cluster, None for an event that does not name one.
    ``instance`` and ``notice`` are those of an EC2 notice.
    """

    kind: MessageKind
    cluster: str | None = None
    instance: str = ""
    notice: Notice | None = None


def parse_message(body: str) -> QueueMessage:
    """Parse the body of a message. Never raises: a queue may contain anything."""
    try:
        event = json.loads(body)
        detail_type, detail = event["detail-type"], event["detail"]
        if detail_type in DETAIL_TYPES:
            return QueueMessage(MessageKind.EVENT, cluster=_cluster(event))
        if detail_type not in NOTICE_TYPES:
            return QueueMessage(MessageKind.OTHER)
        instance, at = detail["instance-id"], datetime.fromisoformat(event["time"]).timestamp()
        if isinstance(instance, str):
            notice = Notice(at, interruption=detail_type == INTERRUPTION)
            return QueueMessage(MessageKind.NOTICE, instance=instance, notice=notice)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        pass
    return QueueMessage(MessageKind.MALFORMED)


def _cluster(event: Mapping[str, Any]) -> str | None:
    arn = event["detail"].get("clusterArn")
    if isinstance(arn, str):
        return resource_name(arn)
    # A deployment's event has only the service's ARN: ``service/cluster/name``.
    for resource in event.get("resources", ()):
        service = parse_arn(str(resource))
        parts = service.resource.split("/") if service is not None else []
        if len(parts) == 3:
            return parts[1]
    return None


def current_notices(messages: Iterable[QueueMessage], now: float) -> dict[str, Notice]:
    """Return the notices that are not over, by instance ID; an interruption wins over advice."""
    notices: dict[str, Notice] = {}
    for message in messages:
        if message.notice is None or is_over(message.notice, now):
            continue
        known = notices.get(message.instance)
        if known is None or not known.interruption:
            notices[message.instance] = message.notice
    return notices


Wake = Callable[[set[str] | None, Mapping[str, Notice]], None]
"""Called with the clusters that events name (None: all) and EC2's new notices by instance ID."""


class EventQueueReader:
    """Reads the event queue until it is cancelled.

    ``on_problem`` is called with the error when the queue fails, and with None when it answers
    again. ``clock`` returns UTC seconds, by default those of AWS.
    """

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
        self._known_notices: Mapping[str, Notice] = {}
        self.problem: str | None = None
        self.messages: Counter[MessageKind] = Counter()
        """Numbers of messages since the start, by kind."""

    def status(self) -> dict[str, Any]:
        """Return the queue's part of `/status`."""
        return {
            "problem": self.problem,
            "messages": {kind.value: count for kind, count in self.messages.items()},
        }

    async def run(self) -> None:
        """Read messages until cancelled. A failing queue is retried; the timer covers the gap."""
        while True:
            try:
                await self._receive()
                self._set_problem(None)
            except AwsError as error:
                self._set_problem(str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:
                # An unexpected error must not stop event handling permanently.
                _log.exception("failed to handle events")
                self._set_problem(str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    def _set_problem(self, problem: str | None) -> None:
        """Report when the queue begins to fail, and when it answers again."""
        if problem == self.problem:
            return
        self.problem = problem
        if problem is not None:
            _log.warning(
                "failed to read events, the timer continues", queue=self._queue_url, error=problem
            )
        else:
            _log.info("events are read again", queue=self._queue_url)
        self._on_problem(problem)

    async def _receive(self) -> None:
        received = await receive_messages(
            self.aws,
            self._queue_url,
            wait_seconds=WAIT_SECONDS,
            visibility_seconds=VISIBILITY_SECONDS,
        )
        if not received:
            return
        messages = [parse_message(source.body) for source in received]
        self.messages.update(message.kind for message in messages)
        for source, message in zip(received, messages, strict=True):
            if message.kind is MessageKind.MALFORMED:
                _log.warning("dropped a message that is not an event", message_id=source.id)
        now = self._clock()
        self._wake_for(messages, now)
        done = [
            source
            for source, message in zip(received, messages, strict=True)
            if message.notice is None or is_over(message.notice, now)
        ]
        if done:
            await self._delete(done)

    def _wake_for(self, messages: Sequence[QueueMessage], now: float) -> None:
        """Wake the graphs that the messages concern."""
        notices = current_notices(messages, now)
        # Notices return until they are over, but only the first occurrence is news.
        news = {k: n for k, n in notices.items() if self._known_notices.get(k) != n}
        known = {k: n for k, n in self._known_notices.items() if not is_over(n, now)}
        self._known_notices = known | news
        clusters = {m.cluster for m in messages if m.kind is MessageKind.EVENT}
        if news or None in clusters:
            self._wake(None, news)
        elif clusters:
            self._wake({c for c in clusters if c is not None}, {})

    async def _delete(self, messages: Sequence[ReceivedMessage]) -> None:
        for code in await delete_messages(self.aws, self._queue_url, messages):
            # The message returns and wakes its graph once more.
            _log.info("failed to delete a message", reason=code)


@asynccontextmanager
async def follow_events(
    options: AwsOptions,
    queue_url: str,
    wake: Wake,
    on_problem: Callable[[str | None], None] = lambda _: None,
) -> AsyncIterator[EventQueueReader]:
    """Read the queue in the background, with a client of its own, while the context is open."""
    options = replace(
        options,
        region=queue_region(queue_url) or options.region,
        read_timeout=WAIT_SECONDS + 10.0,
    )
    async with open_aws(options, ("sqs",)) as aws:
        reader = EventQueueReader(aws, queue_url, wake, on_problem)
        task = asyncio.create_task(reader.run(), name="events")
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
