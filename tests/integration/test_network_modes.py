"""The main job in awsvpc, host and bridge mode."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.stack import Stack, placed_on

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.mark.parametrize("mode", ["awsvpc", "bridge"])
async def test_workers_in_other_network_modes(stack: Stack, mode: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["networkMode"] = mode

    stack.edit_task_definition("prefill", change)
    if mode == "bridge":  # Only its own instance can reach it.
        await stack.local.add_instance("dynamo-GPU", gpus=2, cpu=8192, memory=64_000)
        *_, large = stack.local.state.instances.values()

        def together(document: dict[str, Any]) -> None:
            for component in document["components"]:
                component["placement"] = placed_on(large.ec2_id)

        stack.edit(together)
    await stack.converge()
    (task,) = stack.tasks("prefill")
    instances = {i.address for i in stack.local.state.instances.values()}
    assert (task.private_ip in instances) == (mode == "bridge")
    await stack.chat()


async def test_infrastructure_in_bridge_mode_is_reached_by_its_mapped_port(stack: Stack) -> None:
    def change(document: dict[str, Any]) -> None:
        document["networkMode"] = "bridge"
        document["requiresCompatibilities"] = ["EC2"]

    def on_ec2(document: dict[str, Any]) -> None:
        document["infrastructure"]["launchType"] = "EC2"
        document["clusters"]["infrastructure"] = "dynamo-GPU"

    stack.edit_task_definition("etcd-nats", change)
    stack.edit(on_ec2)
    done = await stack.converge()
    assert done.plan.endpoints.etcd is not None
    assert not done.plan.endpoints.etcd.endswith(":2379")
    await stack.chat()
