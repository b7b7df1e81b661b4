"""The stack that integration tests run on: LocalStack where one answers, else the local ECS.

Real etcd, NATS and Dynamo (its mock engine) run as the containers of the local ECS.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.model.capacity_spec import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
)
from ecs_dynamo.planning.iam_capacity import capacity_statements
from tests.integration.stack import EXAMPLE, Stack
from tests.unit.planning.graphs import graph


def localstack_url() -> str | None:
    """The endpoint of a LocalStack with ECS that answers now; None where there is none."""
    from localstack_client.config import get_service_endpoint

    url = str(get_service_endpoint("ecs"))
    try:
        with urllib.request.urlopen(f"{url}/_localstack/health", timeout=0.5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return url if '"ecs": "' in text and '"ecs": "disabled"' not in text else None


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The example's model, built once."""
    target = EXAMPLE / "model"
    subprocess.run(
        [sys.executable, str(EXAMPLE / "build_model.py"), str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target


CALLED: set[str] = set()
"""Every AWS action that the product called in this session."""
WHOLE_SUITE = {"test_main_job", "test_examples", "test_rollouts", "test_capacity"}
IAM = EXAMPLE.parents[1] / "iam"


def allowed_actions() -> set[str]:
    """What the shipped policy of the daemon allows."""
    policy = json.loads((IAM / "daemon-task-role.json").read_text())
    return {action for s in policy["Statement"] for action in s["Action"]}


def capacity_actions() -> set[str]:
    """What a graph's policy allows besides where it declares capacity; the shipped one does not."""
    base = graph()
    providers = (CapacityProviderItem(name="pool"),)
    groups = (AutoScalingGroupSpec(name="gpu", cluster="gpu", max=1),)
    declared = replace(
        base,
        components=tuple(replace(c, capacity_providers=providers) for c in base.components),
        capacity=CapacitySpec(auto_scaling_groups=groups),
    )
    statements = capacity_statements(declared, "aws", "us-east-1", "123456789012")
    return {action for s in statements for action in s["Action"]}


NOT_CALLS = {"iam:PassRole", "ecs:TagResource"}
"""Rights that are checked within other calls."""
OPERATORS = {
    *("ecs:UntagResource", "sts:GetCallerIdentity", "iam:SimulatePrincipalPolicy", "iam:GetRole"),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeRouteTables"),
    *("secretsmanager:DescribeSecret", "ssm:DescribeParameters"),
}
"""Calls of commands that a person runs with rights of their own: `rollback`, `doctor`."""
ELSEWHERE = {
    *("dynamodb:UpdateItem", "sqs:ReceiveMessage", "sqs:DeleteMessage"),
    "ecs:UpdateContainerInstancesState",
}
"""Called by parts that have tests of their own stack."""


@pytest.fixture(scope="session", autouse=True)
def least_privilege(request: pytest.FixtureRequest) -> Iterator[None]:
    """No call that the shipped policy does not allow; over the whole suite, no right unused."""
    yield
    allowed = allowed_actions() | capacity_actions()
    refused = CALLED - allowed - OPERATORS
    assert not refused, f"not allowed by iam/: {refused}"
    modules = {Path(str(item.fspath)).stem for item in request.session.items}
    if modules >= WHOLE_SUITE and not request.session.testsfailed:
        unused = allowed - CALLED - NOT_CALLS - ELSEWHERE
        assert not unused, f"allowed by iam/ but never called: {unused}"


@pytest.fixture
async def stack(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack of its own for each test, with the example graph's files to edit."""
    if (url := localstack_url()) is not None:
        yield Stack.on(url, tmp_path)
        return
    table = ImageTable.load(EXAMPLE / "images.yaml")
    async with LocalEcs(images=table, directory=tmp_path / "ecs") as local:
        made = Stack.on(local.endpoint_url, tmp_path, local)
        for cluster in ("dynamo-fargate", "dynamo-GPU"):
            local.create_cluster(cluster)
        for _ in range(4):
            await local.add_instance("dynamo-GPU")
        yield made
        CALLED.update(
            # A batch is allowed by the right to the single call.
            f"{c.service}:{c.operation.removesuffix('Batch')}"
            for c in local.calls
            if "ecs-dynamo" in c.agent
        )
