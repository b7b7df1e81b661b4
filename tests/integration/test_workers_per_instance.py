"""Four workers of one graph on one instance in host mode, each with ports of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.planning.observed.attribution import attribute
from tests.helpers.facts import ready_tasks
from tests.integration.conftest import local_stack, localstack_url
from tests.integration.stack import component_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


def preparation() -> str:
    """Return what the shipped workers do before they start Dynamo."""
    content = json.loads((ROOT / "taskdefs/decode.json").read_text())
    command: str = content["containerDefinitions"][0]["command"][0]
    return command.partition("exec python3 -m dynamo")[0]


def two_of_each(document: dict[str, Any]) -> None:
    document["runtime"]["drainSeconds"] = 2
    for name in ("prefill", "decode"):
        component = component_of(document, name)
        component.pop("scaling", None)
        component["replicas"] = 2


def as_shipped(document: dict[str, Any]) -> None:
    """Prepare as the shipped workers do; the health check of the system port stays declared."""
    container = document["containerDefinitions"][0]
    assert "DYN_SYSTEM_PORT" in container["healthCheck"]["command"][1]
    container["command"] = [preparation() + container["command"][0]]
    container["stopTimeout"] = 2


@pytest.mark.skipif(localstack_url() is not None, reason="needs the local ECS's own switches")
async def test_workers_that_share_an_instance_are_attributed_and_replaced_individually(
    tiny_model: Path, tmp_path: Path, judged: Callable[..., None]
) -> None:
    async with local_stack(tmp_path, judged) as stack:
        await stack.local.add_instance("dynamo-GPU", gpus=4, cpu=32_768, memory=131_072)
        stack.edit(two_of_each)
        for name in ("prefill", "decode"):
            stack.edit_task_definition(name, as_shipped)

        snapshot = (await stack.converge()).snapshot
        graph = stack.graph
        attribution = attribute(graph, snapshot)
        assert attribution.unattributed == ()
        owners = [claim.tasks for claim in attribution.claims]
        assert all(len(arns) == 1 for arns in owners)
        for name in ("prefill", "decode"):
            tasks = {arn for arns in owners for arn in arns} & {t.arn for t in stack.tasks(name)}
            assert len(tasks) == 2
            assert {t.arn for t in ready_tasks(graph, graph.component(name), snapshot)} == tasks
        pages = {
            claim.registration.card.page for claim in attribution.claims if claim.registration.card
        }
        assert len(pages) == 4
        assert len({urlsplit(page or "").hostname for page in pages}) == 1
        for stream in (False, True):
            assert (await stack.chat(stream=stream)).error is None

        daemon = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "daemon.log")
        await daemon.start()
        try:
            await daemon.until("converged", lambda s: bool(s.get("converged")), 30)
            await stack.observe()
            decode = sorted(t.arn.rsplit("/", 1)[-1] for t in stack.tasks("decode"))
            hung, other = (stack.local.state.tasks[name] for name in decode)
            assert hung.process is not None
            await hung.process.kill(signal.SIGSTOP)
            await daemon.until("stop", lambda _: hung.desired_status == "STOPPED", 90)
        finally:
            await daemon.stop()
        assert (hung.stopped_reason or "").startswith("ecs-dynamo: it has ")
        assert other.alive
