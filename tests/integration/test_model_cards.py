"""The graph file determines the model card that a worker's mock engine registers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecs_dynamo.discovery.etcd import open_etcd, read_prefix
from tests.integration.stack import Stack, component_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

WORKERS = ("decode", "prefill")


def declare(stack: Stack, options: str, **env: str) -> None:
    """Declare ``options`` of vLLM and ``env`` for both worker components in the graph file."""

    def change(document: dict[str, Any]) -> None:
        for name in WORKERS:
            command = f"exec python3 -m dynamo.vllm --model m --disaggregation-mode {name} "
            component_of(document, name).update(command=[command + options], env=env)

    stack.edit(change)


async def cards(stack: Stack) -> dict[str, tuple[int, int]]:
    """Return the block size and the context length of the registered card of each component."""
    assert stack.last is not None
    async with open_etcd(stack.last.plan.endpoints.etcd or "", 5.0) as client:
        keys = await read_prefix(client, "v1/mdc/")
    result = {}
    for pair in keys.pairs:
        card = json.loads(pair.value)["card_json"]
        result[pair.key.split("/")[3]] = (card["kv_cache_block_size"], card["context_length"])
    return result


async def test_command_and_environment_of_a_worker_determine_its_card(stack: Stack) -> None:
    declare(stack, "--block-size $BLOCK_SIZE --max-model-len 4K", BLOCK_SIZE="32")
    await stack.converge()
    assert await cards(stack) == {"backend": (32, 4096), "prefill": (32, 4096)}
    await stack.chat(stream=True)
