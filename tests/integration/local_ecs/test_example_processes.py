"""The local example's containers as real processes: etcd, NATS and Dynamo with its mock engine.

Its task definitions are rendered by the planner's own functions, then run without any ECS, so that
what fails here is the runtime, the image table or Dynamo itself.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.local.runtime import (
    ContainerLaunch,
    HealthCheck,
    ImageTable,
    TaskLaunch,
    TaskProcess,
)
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.desired.rendering import render
from ecs_dynamo.signals.frontend.page import parse_metrics
from ecs_dynamo.signals.frontend.requests import queue_depth

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

EXAMPLE = Path(__file__).parents[3] / "examples" / "local"
MODEL = "tiny"


def launch_of(content: Any, task_id: str, address: str, folder: Path) -> TaskLaunch:
    """Launch a rendered task definition as the local ECS would."""
    containers = []
    for c in content["containerDefinitions"]:
        check = c.get("healthCheck")
        containers.append(
            ContainerLaunch(
                name=c["name"],
                image=c["image"],
                entry_point=tuple(c.get("entryPoint", ())),
                command=tuple(c.get("command", ())),
                environment={e["name"]: e["value"] for e in c.get("environment", ())},
                stop_timeout=float(c.get("stopTimeout", 30)),
                health_check=check
                and HealthCheck(
                    tuple(check["command"]),
                    float(check["interval"]),
                    float(check["timeout"]),
                    check["retries"],
                    float(check["startPeriod"]),
                ),
            )
        )
    return TaskLaunch(task_id, address, tuple(containers), folder)


class Stack:
    """Tasks of the example on separate addresses, and a client of the frontend."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.session = session
        self.graph = load_graph(EXAMPLE / "ecs-dynamo.yaml", {}).graph
        self.images = ImageTable.load(EXAMPLE / "images.yaml")
        self.ports = plan_ports(self.graph).system_ports
        self.endpoints = Endpoints("http://127.77.0.10:2379", "nats://127.77.0.10:4222")
        self.frontend = "http://127.77.0.11:8000"
        self.tasks: dict[str, TaskProcess] = {}

    async def start(self, name: str, address: str, task_id: str | None = None) -> TaskProcess:
        component = self.graph.component(name)
        content = render(self.graph, component, self.endpoints, self.ports.get(name, 0))
        launch = launch_of(content, task_id or name, address, self.folder)
        task = TaskProcess(launch, self.images, lambda: None)
        self.tasks[launch.task_id] = task
        await task.start()
        return task

    async def until(
        self, description: str, condition: Callable[[], Awaitable[bool]], limit: float
    ) -> float:
        """Wait for a condition; return the seconds that it took. On failure, show the logs."""
        start = time.monotonic()
        while True:
            try:
                if await condition():
                    return time.monotonic() - start
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            if time.monotonic() - start > limit:
                logs = [f"== {f}\n{f.read_text()[-3000:]}" for f in self.folder.rglob("*.log")]
                pytest.fail("\n".join([f"not within {limit} s: {description}", *sorted(logs)]))
            await asyncio.sleep(0.1)

    async def healthy(self) -> bool:
        """Whether each container with a check is HEALTHY and the others run."""
        containers = [c for task in self.tasks.values() for c in task.containers]
        assert all(c.last_status != "STOPPED" for c in containers), containers
        return all(c.health == "HEALTHY" or c.name == "nats" for c in containers)

    async def served(self) -> bool:
        """Whether the frontend lists the model."""
        async with self.session.get(f"{self.frontend}/v1/models") as answer:
            return MODEL in [m["id"] for m in (await answer.json())["data"]]

    async def chat(self, prompt: str, stream: bool = False, tokens: int = 8) -> str:
        """Return the text of a chat completion, which must be complete."""
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "stream": stream,
        }
        url = f"{self.frontend}/v1/chat/completions"
        async with self.session.post(url, json=body) as answer:
            text = await answer.text()
            assert answer.status == 200, text
        if not stream:
            return str(json.loads(text)["choices"][0]["message"]["content"])
        events = [line.removeprefix("data: ") for line in text.splitlines() if line[:5] == "data:"]
        assert events[-1] == "[DONE]", text
        chunks = [json.loads(event) for event in events[:-1]]
        deltas = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
        assert sum(map(bool, deltas)) > 1, "not streamed"
        return "".join(deltas)

    async def depth(self, name: str) -> float:
        """Measure the queue depth of a component as the daemon does."""
        async with self.session.get(f"{self.frontend}/metrics") as answer:
            scrape = parse_metrics(self.frontend, await answer.text())
        return queue_depth(self.graph.component(name), [scrape])


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    subprocess.run([sys.executable, str(EXAMPLE / "build_model.py")], check=True)  # noqa: ASYNC221
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        result = Stack(tmp_path, session)
        try:
            yield result
        finally:
            for task in result.tasks.values():
                await task.kill(9)
            await asyncio.gather(*(task.stop() for task in result.tasks.values()))


def prompt(number: int, words: int = 220) -> str:
    """Return a prompt that shares no prefix with another, so that each is prefilled in full."""
    return " ".join(f"w{number}x{i}" for i in range(words))


async def test_the_example_serves_queues_and_drains(
    stack: Stack, record_testsuite_property: Callable[[str, object], None]
) -> None:
    record = record_testsuite_property
    start = time.monotonic()
    await stack.start("etcd-nats", "127.77.0.10")
    await stack.until("etcd and NATS healthy", stack.healthy, 20)
    record("infrastructure_seconds", time.monotonic() - start)
    start = time.monotonic()
    await stack.start("frontend", "127.77.0.11")
    await stack.start("decode", "127.77.0.12")
    await stack.start("prefill", "127.77.0.13")
    await stack.until("the model listed", stack.served, 30)
    record("served_seconds", time.monotonic() - start)
    await stack.until("all healthy", stack.healthy, 30)
    record("healthy_seconds", time.monotonic() - start)

    assert await stack.chat("Say hello.")
    assert await stack.chat("Say hello again.", stream=True)

    # One prefill replica under load has a lasting queue; nothing waits after the load.
    start = time.monotonic()
    load = [asyncio.create_task(stack.chat(prompt(n), tokens=4)) for n in range(48)]
    deepest = 0.0

    async def deep() -> bool:
        nonlocal deepest
        deepest = max(deepest, await stack.depth("prefill"))
        return deepest >= 24

    await stack.until("a queue at prefill", deep, 15)
    second = await stack.start("prefill", "127.77.0.14", "prefill-2")
    await stack.until("the second prefill healthy", stack.healthy, 20)
    answers = await asyncio.gather(*load)
    record("load_seconds", time.monotonic() - start)
    record("deepest", deepest)
    assert all(answers)

    async def empty() -> bool:
        return await stack.depth("prefill") == 0

    await stack.until("an empty queue", empty, 10)

    # A worker that is stopped under load finishes its requests: none fails.
    load = [asyncio.create_task(stack.chat(prompt(n, 100), tokens=4)) for n in range(100, 116)]
    await stack.until("load at prefill", lambda: _at_least(stack, 4), 15)
    start = time.monotonic()
    await second.stop()
    record("drain_seconds", time.monotonic() - start)
    assert all(await asyncio.gather(*load))
    assert [c.exit_code for c in second.containers] in ([0], [143])


async def _at_least(stack: Stack, depth: float) -> bool:
    return await stack.depth("prefill") >= depth
