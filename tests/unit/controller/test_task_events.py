"""The event queue's reader: what it understands, drops, keeps, and what it does where SQS fails."""

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

from ecs_dynamo.controller.triggers import ecs_events as task_events
from ecs_dynamo.controller.triggers.ecs_events import (
    VISIBILITY_SECONDS,
    TaskEvents,
    current_notices,
    queue_region,
    read,
)
from ecs_dynamo.model.ecs.events import (
    DETAIL_TYPES,
    NOTICE_SECONDS,
    NOTICE_TYPES,
)
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Notice

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
    assert read(event("gpu", kind)).cluster == "gpu"


def test_a_deployments_event_names_it_in_the_services_arn_alone() -> None:
    body = event(None, "ECS Deployment State Change", resources=[f"{ARNS}:service/gpu/g-decode"])
    assert (read(body).kind, read(body).cluster) == ("event", "gpu")
    # An ARN of the old form does not tell; then all are looked at.
    old = event(None, "ECS Deployment State Change", resources=[f"{ARNS}:service/g-decode"])
    assert (read(old).kind, read(old).cluster) == ("event", None)


def test_what_is_none_of_ours_is_other_and_what_is_no_event_is_malformed() -> None:
    assert read(event(kind="ECS Something Else")).kind == "other"
    junk = ["", "{}", "[1]", "null", '"x"', "{", event(detail=None), event(detail=[])]
    junk += [notice(instance=5), notice().replace("20", "x"), "[" * 100_000]
    assert {read(body).kind for body in junk} == {"malformed"}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_reading_never_raises(value: Any) -> None:
    for body in (json.dumps(value), str(value)):
        read(body)
    for kind in (*DETAIL_TYPES, *NOTICE_TYPES):
        for fields in ({"detail": value}, {"detail": {"instance-id": "i", "clusterArn": value}}):
            read(json.dumps({"detail-type": kind, "time": value, "resources": value, **fields}))


def test_notices_are_over_after_a_while_and_the_certain_one_wins() -> None:
    warning, advice = NOTICE_TYPES
    bodies = [
        *(notice("i-1", kind=kind) for kind in (advice, warning, advice)),
        notice("i-2", kind=advice),
        notice("i-3", age=NOTICE_SECONDS + 5),
        notice("i-4", age=-NOTICE_SECONDS - 5),
    ]
    found = current_notices(map(read, bodies), NOW)
    assert {k: n.interruption for k, n in found.items()} == {"i-1": True, "i-2": False}


def test_the_queues_region_is_in_its_url() -> None:
    assert queue_region("https://sqs.eu-west-1.amazonaws.com/1/q") == "eu-west-1"
    assert queue_region("http://127.0.0.1:4566/1/q") is None


class Sqs:
    """A queue; ``answers`` are bodies to give, or errors to raise, one a poll. Then it blocks."""

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


class Heard:
    """What a reader told, after it read all of ``sqs``."""

    def __init__(self, sqs: Sqs) -> None:
        self.sqs = sqs
        self.woken: list[set[str] | None] = []
        self.notices: dict[str, Notice] = {}
        self.problems: list[str | None] = []
        self.events: TaskEvents | None = None
        self.logs: list[Any] = []

    def wake(self, clusters: set[str] | None, notices: Mapping[str, Notice]) -> None:
        self.woken.append(clusters)
        self.notices |= notices

    async def listen(self) -> Heard:
        aws: Any = self.sqs
        self.events = TaskEvents(aws, "http://q", self.wake, self.problems.append, lambda: NOW)
        with capture_logs() as self.logs:
            reader = asyncio.create_task(self.events.run())
            async with asyncio.timeout(5):
                await self.sqs.empty.wait()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        return self


async def test_junk_is_dropped_with_a_warning_and_does_not_come_back() -> None:
    bodies = ["junk", "{}", event("a"), event("b"), event("a")]
    heard = await Heard(Sqs(bodies)).listen()
    assert heard.woken == [{"a", "b"}]
    assert heard.sqs.deleted == bodies
    warned = [x for x in heard.logs if x["log_level"] == "warning"]
    assert len(warned) == 2
    assert heard.events is not None
    assert heard.events.messages == {"malformed": 2, "event": 3}


async def test_the_poll_is_long_and_sets_its_own_visibility() -> None:
    heard = await Heard(Sqs([event()])).listen()
    poll = heard.sqs.asked[0]
    assert (poll["WaitTimeSeconds"], poll["MaxNumberOfMessages"]) == (20, 10)
    assert poll["VisibilityTimeout"] == VISIBILITY_SECONDS


async def test_what_is_not_about_ecs_wakes_nobody() -> None:
    heard = await Heard(Sqs(["junk", event(kind="EC2 Something")], [])).listen()
    assert heard.woken == []
    assert len(heard.sqs.deleted) == 2


async def test_an_event_of_no_cluster_wakes_all() -> None:
    heard = await Heard(Sqs([event("a"), event(None)])).listen()
    assert heard.woken == [None]


async def test_a_notice_stays_in_the_queue_until_it_is_over_and_is_news_once() -> None:
    fresh, old = notice("i-1"), notice("i-2", age=NOTICE_SECONDS + 1)
    heard = await Heard(Sqs([fresh, old, event("a")], [fresh], [fresh])).listen()
    assert heard.woken == [None]
    assert set(heard.notices) == {"i-1"}
    assert heard.sqs.deleted == [old, event("a")]


async def test_a_queue_that_is_not_there_is_told_once_and_again_when_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_events, "RETRY_SECONDS", 0.0)
    missing = AwsError("ReceiveMessage", "QueueDoesNotExist", "no such queue")
    heard = await Heard(Sqs(missing, missing, missing, [event("a")], missing)).listen()
    assert [p is None for p in heard.problems] == [False, True, False]
    assert "no such queue" in str(heard.problems[0])
    assert heard.woken == [{"a"}]


async def test_what_was_not_thought_of_makes_nobody_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_events, "RETRY_SECONDS", 0.0)
    heard = await Heard(Sqs(RuntimeError("bug"), [event("a")])).listen()
    assert heard.woken == [{"a"}]
    assert heard.problems == ["bug", None]


async def test_a_message_that_could_not_be_deleted_is_no_problem() -> None:
    sqs = Sqs([event("a")], [event("a")])
    sqs.undeletable = True
    heard = await Heard(sqs).listen()
    assert heard.woken == [{"a"}, {"a"}]
    assert heard.problems == []
