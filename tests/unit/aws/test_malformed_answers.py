"""Whatever comes instead of AWS's answer is an AwsError: it never ends a pass as something else."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from ecs_dynamo.aws import session
from ecs_dynamo.aws.client import AwsOptions, open_aws
from ecs_dynamo.aws.execute.executor import Executor
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.response_types import wrong_type
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import RegisterTaskDefinition
from tests.unit.signals.hostile import Answer, hostile_server

KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
JSON = ("Content-Type: application/x-amz-json-1.1",)
ECS = {
    "not UTF-8": Answer(b'{"clusters": ["\xff\xfe"]}'),
    "not JSON": Answer(b"<html>a proxy's page</html>"),
    "truncated": Answer(b'{"clusters": [{"cluster', headers=("Content-Length: 900",)),
    "cut JSON": Answer(b'{"clusters": [{"cluster'),
    "a list": Answer(b"[]"),
    "a number": Answer(b"7"),
    "deep": Answer(b"[" * 100_000),
    "another type": Answer(b'{"clusters": 7}'),
    "another type inside": Answer(b'{"clusters": [{"status": 7}]}'),
    "a text for a number": Answer(b'{"clusters": [{"runningTasksCount": "many"}]}'),
    "NaN for a number": Answer(b'{"clusters": [{"runningTasksCount": NaN}]}'),
    "an error that is none": Answer(b'{"__type": 7}', status="400 Bad"),
    "an error that is a list": Answer(b"[7]", status="400 Bad"),
    "an error that is not UTF-8": Answer(b"\xff", status="400 Bad"),
    "no HTTP": Answer(status="what", headers=("nothing",)),
    "slow": Answer(b"{", endless=b" ", pause=0.05),
    "endless": Answer(b"{", endless=b" " * 65536),
}
EC2 = {
    "not UTF-8": Answer(b"<DescribeInstancesResponse>\xff"),
    "not XML": Answer(b"not XML"),
    "truncated": Answer(b"<DescribeInstancesResponse><reserv"),
    "another type": Answer(
        b"<DescribeInstancesResponse><reservationSet><item><instancesSet><item>"
        b"<launchTime>never</launchTime></item></instancesSet></item></reservationSet>"
        b"</DescribeInstancesResponse>"
    ),
}


@pytest.mark.parametrize(
    ("service", "operation", "name"),
    [("ecs", "DescribeClusters", n) for n in ECS] + [("ec2", "DescribeInstances", n) for n in EC2],
)
async def test_a_malformed_answer_is_an_aws_error(
    service: str, operation: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_ANSWER_BYTES", 1024 * 1024)
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    answer = (ECS if service == "ecs" else EC2)[name]
    started = time.monotonic()
    async with hostile_server({"/": answer}) as server:
        options = AwsOptions(
            endpoint_url=server.url,
            region="us-east-1",
            attempts=2,
            backoff=Backoff(0.02, 5.0),
            connect_timeout=0.3,
            read_timeout=0.1,
        )
        async with open_aws(options, (service,)) as aws:
            with pytest.raises(AwsError) as caught:
                await aws.call(service, operation)
    assert len(str(caught.value)) < 1000
    assert server.sent["/"] < 16 * 1024 * 1024
    assert time.monotonic() - started < 10.0


async def test_a_good_answer_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    body = (
        b'{"clusters": [{"clusterName": "c", "clusterArn": "arn:c", "status": "ACTIVE",'
        b' "runningTasksCount": 3, "tags": [], "new": {"a": 1}, "statistics": null}],'
        b' "failures": []}'
    )
    async with hostile_server({"/": Answer(body)}) as server:
        options = AwsOptions(endpoint_url=server.url, region="us-east-1")
        async with open_aws(options, ("ecs",)) as aws:
            answer = await aws.call("ecs", "DescribeClusters")
    assert answer["clusters"][0]["runningTasksCount"] == 3


async def test_an_answer_without_its_members_ends_its_action_alone() -> None:
    class Empty:
        async def call(self, *_: object, **__: object) -> dict[str, object]:
            return {}

    async def never(_: object) -> bool:
        raise AssertionError

    executor = Executor(cast(Any, Empty()), "g", GraphCache(), time.monotonic, never)
    result = [
        RegisterTaskDefinition(
            component=name, reason="r", family=name, content={}, fingerprint="f", tags={}
        )
        for name in ("one", "other")
    ]
    results = await executor.execute(cast(Any, SimpleNamespace(actions=result)))
    assert [(r.ok, r.skipped) for r in results] == [(False, False), (False, False)]
    assert all(r.error for r in results)


def test_a_policy_that_botocore_has_decoded_is_not_a_wrong_type() -> None:
    model = ServiceModel(Loader().load_service_model("iam", "service-2"))
    shape = model.operation_model("GetRole").output_shape
    role = {"RoleName": "r", "AssumeRolePolicyDocument": {"Version": "2012-10-17"}}
    assert wrong_type(shape, {"Role": role}) is None
    assert wrong_type(shape, {"Role": {**role, "RoleName": {}}}) == ".Role.RoleName"
