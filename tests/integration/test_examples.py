"""Complete deployments: the files of Dynamo's ECS example, and this project's for AWS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("folder", "file"),
    [("tests/fixtures/seed", "graph.yaml"), ("examples/qwen-disagg", "ecs-dynamo.yaml")],
)
async def test_the_deployment_serves(stack: Stack, folder: str, file: str) -> None:
    shutil.rmtree(stack.folder)
    shutil.copytree(ROOT / folder, stack.folder)
    if file != stack.graph_file.name:
        (stack.folder / file).rename(stack.graph_file)
    arn = await stack.local.add_instance("dynamo-GPU", gpus=2, cpu=16_384, memory=128_000)
    stack.environ |= {
        "AWS_ID": "123456789012",
        "AWS_REGION": "us-east-1",
        "SUBNET_ID": "subnet-1",
        "SECURITY_GROUP_ID": "sg-1",
        "GPU_INSTANCE": stack.local.state.instances[arn.rsplit("/", 1)[-1]].ec2_id,
    }
    done = await stack.converge(90)
    assert done.plan.replicas["frontend"].ready == 1
    assert done.plan.replicas["prefill"].ready == 1
    await stack.chat(stream=True)
    code, out, err = await stack.cli("plan", "-f", str(stack.graph_file), "--exit-code")
    assert (code, "nothing to do" in out) == (0, True), err
