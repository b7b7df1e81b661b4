"""The event queue's reader: what it parses, drops and keeps, and how it behaves when SQS fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ecs_dynamo.controller.triggers import ecs_events
from ecs_dynamo.controller.triggers.ecs_events import (
    VISIBILITY_SECONDS,
    EventQueueReader,
    current_notices,
    parse_message,
    queue_region,
)
from ecs_dynamo.model.ecs.events import (
    DETAIL_TYPES,
    NOTICE_SECONDS,
    NOTICE_TYPES,
    Notice,
)
from ecs_dynamo.model.errors import AwsError

NOW = 1_800_000_000.0
ARNS = "arn:aws:ecs:us-east-1:123456789012"


def event(cluster: str | None = "gpu", kind: str = DETAIL_TYPES[0], **more: Any) -> str:
    detail = {"clusterArn": f"{ARNS}:cluster/{cluster}"} if cluster else {}
    return json.dumps({"source": "aws.ecs", "detail-type": kind, "detail": detail, **more})


def notice(instance: object = "i-1", age: float = 0.0, kind: str = NOTICE_TYPES[0]) -> str:
    at = datetime.fromtimestamp(NOW - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    detail = {"instance-id": instance, "instance-action": "terminate"}
    return json.dumps({"source": "aws.ec2", "detail-type": kind, "time": at, "detail": detail})


@pytest.mark.parametrize("kind", DETAIL_TYPES)
def test_an_event_names_its_cluster(kind: str) -> None:
    assert parse_message(event("gpu", kind)).cluster == "gpu"


def test_a_deployments_event_names_its_cluster_only_in_the_service_arn() -> None:
    body = event(None, "ECS Deployment State Change", resources=[f"{ARNS}:service/gpu/g-decode"])
    assert (parse_message(body).kind, parse_message(body).cluster) == ("event", "gpu")
    # An ARN of the old form has no cluster; then every graph is woken.
    old = event(None, "ECS Deployment State Change", resources=[f"{ARNS}:service/g-decode"])
    assert (parse_message(old).kind, parse_message(old).cluster) == ("event", None)


def test_an_unrelated_event_is_other_and_a_message_that_is_not_an_event_is_malformed() -> None:
    assert parse_message(event(kind="ECS Something Else")).kind == "other"
    junk = ["", "{}", "[1]", "null", '"x"', "{", event(detail=None), event(detail=[])]
    junk += [notice(instance=5), notice().replace("20", "x"), "[" * 100_000]
    assert {parse_message(body).kind for body in junk} == {"malformed"}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_parsing_never_raises(value: Any) -> None:
    for body in (json.dumps(value), str(value)):
        parse_message(body)
    for kind in (*DETAIL_TYPES, *NOTICE_TYPES):
        for fields in ({"detail": value}, {"detail": {"instance-id": "i", "clusterArn": value}}):
            parse_message(
                json.dumps({"detail-type": kind, "time": value, "resources": value, **fields})
            )


def test_notices_expire_and_an_interruption_wins_over_advice() -> None:
    warning, advice = NOTICE_TYPES
    bodies = [
        *(notice("i-1", kind=kind) for kind in (advice, warning, advice)),
        notice("i-2", kind=advice),
        notice("i-3", age=NOTICE_SECONDS + 5),
        notice("i-4", age=-NOTICE_SECONDS - 5),
    ]
    notices = current_notices(map(parse_message, bodies), NOW)
    assert {k: n.interruption for k, n in notices.items()} == {"i-1": True, "i-2": False}


def test_the_region_of_a_queue_is_read_from_its_url() -> None:
    assert queue_region("https://sqs.eu-west-1.amazonaws.com/1/q") == "eu-west-1"
    assert queue_region("http://127.0.0.1:4566/1/q") is None


class Sqs:
    """A queue; ``answers`` are bodies or errors, one per poll. Then it blocks."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.deleted: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.undeletable = False
        self.empty = asyncio.Event()

    async def call(self, service: str, operation: str, /, **asked: Any) -> dict[str, Any]:
        self.asked.append({"operation": operation, **asked})
        if operation == "DeleteMessageBatch":
            if self.undeletable:
                return {"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid"}]}
            assert len({e["Id"] for e in asked["Entries"]}) == len(asked["Entries"]) <= 10
            self.deleted += [e["ReceiptHandle"] for e in asked["Entries"]]
            return {}
        if not self.answers:
            self.empty.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"Messages": [{"MessageId": b, "ReceiptHandle": b, "Body": b} for b in answer]}


class Listener:
    """Collects everything that a reader reports until it has read all of ``sqs``."""

    def __init__(self, sqs: Sqs) -> None:
        self.sqs = sqs
        self.woken: list[set[str] | None] = []
        self.notices: dict[str, Notice] = {}
        self.problems: list[str | None] = []
        self.events: EventQueueReader | None = None
        self.logs: list[Any] = []

    def wake(self, clusters: set[str] | None, notices: Mapping[str, Notice]) -> None:
        self.woken.append(clusters)
        self.notices |= notices

    async def listen(self) -> Listener:
        aws: Any = self.sqs
        self.events = EventQueueReader(
            aws, "http://q", self.wake, self.problems.append, lambda: NOW
        )
        with capture_logs() as self.logs:
            reader = asyncio.create_task(self.events.run())
            async with asyncio.timeout(5):
                await self.sqs.empty.wait()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        return self


async def test_a_malformed_message_is_deleted_with_a_warning() -> None:
    bodies = ["junk", "{}", event("a"), event("b"), event("a")]
    listener = await Listener(Sqs(bodies)).listen()
    assert listener.woken == [{"a", "b"}]
    assert listener.sqs.deleted == bodies
    warned = [x for x in listener.logs if x["log_level"] == "warning"]
    assert len(warned) == 2
    assert listener.events is not None
    assert listener.events.messages == {"malformed": 2, "event": 3}


async def test_the_poll_is_long_and_sets_its_own_visibility() -> None:
    listener = await Listener(Sqs([event()])).listen()
    poll = listener.sqs.asked[0]
    assert (poll["WaitTimeSeconds"], poll["MaxNumberOfMessages"]) == (20, 10)
    assert poll["VisibilityTimeout"] == VISIBILITY_SECONDS


async def test_unrelated_messages_wake_no_graph() -> None:
    listener = await Listener(Sqs(["junk", event(kind="EC2 Something")], [])).listen()
    assert listener.woken == []
    assert len(listener.sqs.deleted) == 2


async def test_an_event_without_a_cluster_wakes_all_graphs() -> None:
    listener = await Listener(Sqs([event("a"), event(None)])).listen()
    assert listener.woken == [None]


async def test_a_notice_stays_in_the_queue_until_it_is_over_and_wakes_once() -> None:
    fresh, old = notice("i-1"), notice("i-2", age=NOTICE_SECONDS + 1)
    listener = await Listener(Sqs([fresh, old, event("a")], [fresh], [fresh])).listen()
    assert listener.woken == [None]
    assert set(listener.notices) == {"i-1"}
    assert listener.sqs.deleted == [old, event("a")]


async def test_a_missing_queue_is_reported_once_and_its_recovery_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ecs_events, "RETRY_SECONDS", 0.0)
    missing = AwsError("ReceiveMessage", "QueueDoesNotExist", "no such queue")
    listener = await Listener(Sqs(missing, missing, missing, [event("a")], missing)).listen()
    assert [p is None for p in listener.problems] == [False, True, False]
    assert "no such queue" in str(listener.problems[0])
    assert listener.woken == [{"a"}]


async def test_an_unexpected_error_does_not_stop_event_handling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ecs_events, "RETRY_SECONDS", 0.0)
    listener = await Listener(Sqs(RuntimeError("bug"), [event("a")])).listen()
    assert listener.woken == [{"a"}]
    assert listener.problems == ["bug", None]


async def test_a_message_that_cannot_be_deleted_is_not_a_problem() -> None:
    sqs = Sqs([event("a")], [event("a")])
    sqs.undeletable = True
    listener = await Listener(sqs).listen()
    assert listener.woken == [{"a"}, {"a"}]
    assert listener.problems == []
