"""An answer is believed only when it is whole, and a list only when it was read to its end."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import ecs_dynamo
from ecs_dynamo.aws.pages import PAGES, read_all, read_pages
from ecs_dynamo.aws.required_members import (
    EXPECTED,
    missing_part,
)
from ecs_dynamo.model.errors import AwsError
from tests.unit.aws.fake_aws import fake_aws, service_model

SOURCE = Path(ecs_dynamo.__file__).parent
SERVICES = {name.split(":")[0] for name in EXPECTED}


def sources() -> Iterator[tuple[Path, str]]:
    """The product's modules; the local ECS and the demo are servers and scripts of their own."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).parts[0] not in ("local", "demo"):
            yield path, path.read_text()


def operations_called() -> set[str]:
    """Every ``(service, operation)`` that is written next to each other in the source."""
    matches: set[str] = set()
    for _, text in sources():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            spread = [
                part
                for item in node.args
                for part in (
                    item.value.elts
                    if isinstance(item, ast.Starred) and isinstance(item.value, ast.Tuple)
                    else [item]
                )
            ]
            words = [str(w.value) if isinstance(w, ast.Constant) else "" for w in spread]
            for service, operation in pairwise(words):
                if service in SERVICES and operation[:1].isupper():
                    matches.add(f"{service}:{operation}")
    return matches


def test_for_every_operation_that_is_called_it_is_stated_what_its_answer_contains() -> None:
    called = operations_called()
    assert len(called) > 40
    assert called == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_is_expected_is_in_botocores_model(name: str) -> None:
    service, operation = name.split(":")
    shape: Any = service_model(service).operation_model(operation)
    expected = EXPECTED[name]
    if not expected.members:
        return
    assert set(expected.members) <= set(shape.output_shape.members)
    if expected.of:
        entry = shape.output_shape.members[expected.of]
        entry = entry.member if entry.type_name == "list" else entry
        assert {*expected.each, *expected.known} <= set(entry.members)
    if expected.asked:
        assert expected.asked in shape.input_shape.members
        assert "failures" in shape.output_shape.members


@pytest.mark.parametrize("name", sorted(n for n, e in EXPECTED.items() if e.members))
def test_an_answer_without_members_is_not_an_answer(name: str) -> None:
    """botocore returns incomplete values for a truncated JSON body."""
    service, operation = name.split(":")
    assert missing_part(service, operation, {}, {"ResponseMetadata": {}})


SERVICE = {
    "serviceArn": "arn:aws:ecs:us-east-1:1:service/c/a",
    "serviceName": "a",
    "status": "ACTIVE",
    "desiredCount": 1,
    "runningCount": 0,
    "pendingCount": 0,
}


@pytest.mark.parametrize(
    ("answer", "lacking"),
    [
        ({"services": [SERVICE]}, "does not mention b"),
        ({"services": [SERVICE], "failures": [{"arn": "arn:.../b", "reason": "MISSING"}]}, None),
        ({"services": [SERVICE, {**SERVICE, "serviceName": "b"}]}, None),
        ({"services": [{k: v for k, v in SERVICE.items() if k != "runningCount"}]}, "runningCount"),
        ({"services": []}, "does not mention a"),
        ({"failures": []}, "no services"),
    ],
)
def test_each_service_that_was_asked_for_is_answered_for(
    answer: dict[str, Any], lacking: str | None
) -> None:
    asked = {"services": ["a", "arn:aws:ecs:us-east-1:1:service/c/b"]}
    matches = missing_part("ecs", "DescribeServices", asked, answer)
    assert (matches is None) if lacking is None else lacking in str(matches)


async def test_a_read_without_its_members_is_repeated_and_then_refused() -> None:
    answers = [{}, {"taskArns": ["arn:t"]}, {}, {}, {}]
    aws = fake_aws(3, ecs={"ListTasks": lambda **_: answers.pop(0)})
    assert await read_all(aws, "ecs", "ListTasks", "taskArns", cluster="c") == ["arn:t"]
    with pytest.raises(AwsError, match="the answer has no taskArns") as caught:
        await read_all(aws, "ecs", "ListTasks", "taskArns", cluster="c")
    assert (caught.value.code, answers) == ("BadAnswer", [])


async def test_a_write_without_its_members_is_not_repeated_blindly() -> None:
    calls: list[dict[str, Any]] = []

    def create(**parameters: Any) -> dict[str, Any]:
        calls.append(parameters)
        return {}

    aws = fake_aws(5, ecs={"CreateService": create})
    with pytest.raises(AwsError, match="no service"):
        await aws.call("ecs", "CreateService", serviceName="s")
    assert len(calls) == 1


async def drained(pages: AsyncIterator[Any]) -> list[Any]:
    return [page async for page in pages]


@pytest.mark.parametrize(
    ("service", "operation", "key", "asked", "reported"),
    [
        ("ecs", "ListServices", "serviceArns", "nextToken", "nextToken"),
        ("ec2", "DescribeSubnets", "Subnets", "NextToken", "NextToken"),
        ("iam", "SimulatePrincipalPolicy", "EvaluationResults", "Marker", "Marker"),
        ("logs", "DescribeLogGroups", "logGroups", "nextToken", "nextToken"),
        ("service-quotas", "ListServiceQuotas", "Quotas", "NextToken", "NextToken"),
    ],
)
async def test_lists_are_read_to_their_end_or_not_at_all(
    service: str, operation: str, key: str, asked: str, reported: str
) -> None:
    most = 3
    structures = ("Subnets", "EvaluationResults", "logGroups", "Quotas")
    entry = {"SubnetId": "s"}

    def answer(**parameters: Any) -> dict[str, Any]:
        number = int(parameters.get(asked, "0")) + 1
        matches = entry if key in structures else f"arn:{number}"
        return {key: [matches], **({reported: str(number)} if number < most else {})}

    aws = fake_aws(1, {service: {operation: answer}})
    assert len(await read_all(aws, service, operation, key)) == most
    # The bound of `read_all` itself only where the buckets let as many calls through at once.
    bound = PAGES if service == "ecs" else most
    most = bound + 1
    pages = read_pages(aws, service, operation, at_most=bound)
    endless = read_all(aws, service, operation, key) if service == "ecs" else drained(pages)
    with pytest.raises(AwsError, match=f"more than {bound} pages"):
        await endless


async def test_pages_that_repeat_are_no_list() -> None:
    aws = fake_aws(ecs={"ListTasks": lambda **_: {"taskArns": ["a"], "nextToken": "again"}})
    with pytest.raises(AwsError, match="leads back"):
        await read_all(aws, "ecs", "ListTasks", "taskArns")


def test_there_is_one_paginator() -> None:
    """No other module sends a page's token, so none can stop before the end and say nothing."""
    words = ("NextToken", "nextToken", "Marker")
    others = {
        path.name: [
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and node.value in words
        ]
        for path, text in sources()
        if path.name != "pages.py"
    }
    # Families are read oldest first and in parts, and know of each whether it was read whole.
    assert {name: matches for name, matches in others.items() if matches} == {
        "old_revisions.py": ["nextToken"]
    }
