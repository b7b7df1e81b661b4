"""ECS's events on the local stack, as AWS documents them: rules, patterns, queue policies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from ecs_dynamo.iam.events import event_pattern
from ecs_dynamo.model.ecs.events import DETAIL_TYPES
from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.integration.stack import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ACCOUNT = "123456789012"
KEYS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "x",
    "aws_secret_access_key": "x",
}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    """An ECS with a cluster of one instance."""
    async with ecs_client(tmp_path) as client:
        yield client


class EventQueue:
    """A queue behind a rule, created with boto3 as an operator does."""

    def __init__(self, url: str, name: str) -> None:
        self._sqs = boto3.client("sqs", endpoint_url=url, **KEYS)
        self._events = boto3.client("events", endpoint_url=url, **KEYS)
        self.name = name
        self.arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        self.url = ""
        self.received: list[dict[str, Any]] = []

    def _open(self, pattern: dict[str, Any]) -> None:
        self.url = self._sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self._events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))
        self._events.put_targets(Rule=self.name, Targets=[{"Id": "1", "Arn": self.arn}])

    async def open(self, pattern: dict[str, Any], allow: str | None = "rule/*") -> None:
        """Create a rule, a queue, a target, and a policy for the rules that ``allow`` names."""
        await asyncio.to_thread(self._open, pattern)
        if allow is not None:
            await self.permit(allow)

    async def permit(self, rules: str, effect: str = "Allow") -> None:
        """Set the queue's policy."""
        source = f"arn:aws:events:us-east-1:{ACCOUNT}:{rules}"
        statement = {
            "Effect": effect,
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {"ArnLike": {"aws:SourceArn": source}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await asyncio.to_thread(
            self._sqs.set_queue_attributes, QueueUrl=self.url, Attributes={"Policy": policy}
        )

    async def enable(self, enabled: bool) -> None:
        """Turn the rule on or disabled."""
        call = self._events.enable_rule if enabled else self._events.disable_rule
        await asyncio.to_thread(call, Name=self.name)

    def _drain(self) -> None:
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=0
            )
            messages = answer.get("Messages", [])
            self.received += [json.loads(m["Body"]) for m in messages]
            if not messages:
                return
            for m in messages:
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=m["ReceiptHandle"])

    async def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a detail type so far."""
        await asyncio.to_thread(self._drain)
        return [e for e in self.received if e["detail-type"] == kind]

    async def until(self, kind: str, condition: Any, timeout: float = 20.0) -> None:
        """Wait until the events of a detail type are as expected."""

        async def met() -> bool:
            return bool(condition(await self.of(kind)))

        await until(f"{kind}", met, timeout)


TASK, ACTION = "ECS Task State Change", "ECS Service Action"
DEPLOYMENT, INSTANCE = "ECS Deployment State Change", "ECS Container Instance State Change"


async def service(client: EcsClient, count: int = 1) -> None:
    await client.call(
        "register_task_definition",
        family="web",
        networkMode="host",
        containerDefinitions=[container()],
    )
    await client.call(
        "create_service",
        cluster="main",
        serviceName="web",
        taskDefinition="web",
        desiredCount=count,
    )


async def test_a_services_events_have_increasing_versions(client: EcsClient) -> None:
    queue = EventQueue(client.local.endpoint_url, "all")
    await queue.open({"source": ["aws.ecs"]})
    await service(client)
    await queue.until(
        DEPLOYMENT,
        lambda es: (
            [e["detail"]["eventName"] for e in es]
            == ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED"]
        ),
    )
    (arn,) = (await client.call("list_tasks", cluster="main", serviceName="web"))["taskArns"]
    await client.call("stop_task", cluster="main", task=arn, reason="enough")

    def of(arn: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [e["detail"] for e in events if e["resources"] == [arn]]

    def stopped(events: list[dict[str, Any]]) -> bool:
        return any(d["lastStatus"] == "STOPPED" for d in of(arn, events))

    await queue.until(TASK, stopped)
    details = of(arn, await queue.of(TASK))
    statuses = list(dict.fromkeys(d["lastStatus"] for d in details))
    assert statuses[0] in ("PROVISIONING", "PENDING")
    assert statuses[-3:] == ["RUNNING", "DEACTIVATING", "STOPPED"]
    versions = [d["version"] for d in details]
    assert versions == sorted(set(versions))
    last = details[-1]
    assert (last["stopCode"], last["stoppedReason"]) == ("UserInitiated", "enough")
    assert (last["group"], last["clusterArn"].endswith(":cluster/main")) == ("service:web", True)
    assert last["stoppedAt"].endswith("Z")
    assert last["containers"][0]["lastStatus"] == "STOPPED"
    # The description and the event show the same state.
    (described,) = (await client.call("describe_tasks", cluster="main", tasks=[arn]))["tasks"]
    assert described["version"] == last["version"]

    actions = await queue.of(ACTION)
    assert {e["detail"]["eventName"] for e in actions} == {"SERVICE_STEADY_STATE"}
    deployments = await queue.of(DEPLOYMENT)
    assert all("clusterArn" not in e["detail"] for e in deployments)
    assert deployments[0]["resources"][0].endswith(":service/main/web")
    instance = [e["detail"] for e in await queue.of(INSTANCE)]
    assert [d["version"] for d in instance] == list(range(2, 2 + len(instance)))
    assert {d["status"] for d in instance} == {"ACTIVE"}


async def test_the_rendered_pattern_matches_all_events_of_its_clusters_and_no_others(
    client: EcsClient,
) -> None:
    def pattern(*clusters: str) -> dict[str, Any]:
        graph: Any = SimpleNamespace(clusters=clusters)
        return event_pattern([graph], "us-east-1", ACCOUNT)

    matching, others = (
        EventQueue(client.local.endpoint_url, name) for name in ("matching", "others")
    )
    await matching.open(pattern("main", "more"))
    await others.open(pattern("mai", "main2"))
    await service(client)
    for kind in DETAIL_TYPES:
        await matching.until(kind, bool)
    for kind in DETAIL_TYPES:
        assert await others.of(kind) == []


async def test_instances_and_failed_placements_have_events(
    client: EcsClient,
) -> None:
    queue = EventQueue(client.local.endpoint_url, "some")
    await queue.open({"source": ["aws.ecs", "aws.ec2"]})
    (arn,) = (await client.call("list_container_instances", cluster="main"))[
        "containerInstanceArns"
    ]
    await client.call(
        "update_container_instances_state",
        cluster="main",
        containerInstances=[arn],
        status="DRAINING",
    )
    client.local.warn_of_interruption(arn)
    await service(client)
    await queue.until(ACTION, bool)
    (failed, *_) = await queue.of(ACTION)
    assert failed["detail"]["eventName"] == "SERVICE_TASK_PLACEMENT_FAILURE"
    assert failed["detail"]["eventType"] == "ERROR"
    (warning,) = await queue.of("EC2 Spot Instance Interruption Warning")
    assert warning["detail"]["instance-action"] == "terminate"
    await client.local.remove_instance(arn)
    await queue.until(INSTANCE, lambda es: es[-1]["detail"]["status"] == "INACTIVE")
    statuses = [
        (d["detail"]["status"], d["detail"]["agentConnected"])
        for d in queue.received
        if INSTANCE in d["detail-type"]
    ]
    assert statuses == [("DRAINING", True), ("INACTIVE", False)]


async def test_disabled_rules_and_queues_without_permission_get_no_events(
    client: EcsClient,
) -> None:
    pattern = {"source": ["aws.ecs"], "detail-type": [INSTANCE]}
    queues = [
        EventQueue(client.local.endpoint_url, name)
        for name in ("closed", "other", "denied", "disabled", "enabled")
    ]
    closed, other, denied, disabled, enabled = queues
    await closed.open(pattern, allow=None)
    await other.open(pattern, allow="rule/somebody-elses")
    await denied.open(pattern)
    await denied.permit("rule/*", "Deny")
    await disabled.open(pattern)
    await disabled.enable(enabled=False)
    await enabled.open(pattern, allow="rule/enabled")

    async def set_status(status: str) -> None:
        arns = (await client.call("list_container_instances", cluster="main"))[
            "containerInstanceArns"
        ]
        await client.call(
            "update_container_instances_state",
            cluster="main",
            containerInstances=arns,
            status=status,
        )

    await set_status("DRAINING")
    await enabled.until(INSTANCE, bool)
    for queue in (closed, other, denied, disabled):
        assert await queue.of(INSTANCE) == [], queue.name
    await closed.permit("rule/closed")
    await disabled.enable(enabled=True)
    before = time.time()
    await set_status("ACTIVE")
    await closed.until(INSTANCE, bool)
    await disabled.until(INSTANCE, bool)
    assert time.time() - before < 10
