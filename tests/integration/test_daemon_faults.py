"""Faults that must not end the real daemon: a blocked log, a crowded port; reasons of exits."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.controller.daemon.connections import raise_file_limit
from ecs_dynamo.demo.daemon import DemoDaemon, component
from tests.integration.servers import free_port
from tests.integration.stack import Stack, component_of, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

GRAPH = Path(__file__).parents[2] / "examples" / "local" / "ecs-dynamo.yaml"
FILES = 1024


@asynccontextmanager
async def daemon(stderr: int, files: int | None = None) -> AsyncIterator[tuple[str, Any]]:
    """Run `ecs-dynamo run` against an AWS that does not answer, so that each pass logs much."""
    port = free_port()
    environ = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "ECS_DYNAMO_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "ECS_DYNAMO_LOG_LEVEL": "debug",
        "ECS_DYNAMO_BACKOFF_MAX_SECONDS": "1",
        "ECS_DYNAMO_OBSERVE_TIMEOUT_SECONDS": "0.2",
    }
    limits = None if files is None else (files, files)
    process = subprocess.Popen(  # noqa: ASYNC220 (it is waited for in a thread)
        [sys.executable, "-m", "ecs_dynamo", "run", "-f", str(GRAPH), "--http-port", str(port)],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        preexec_fn=limits and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits)),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await until("the daemon answers", lambda: answers(url), 20)
        yield url, process
        assert process.poll() is None
        assert await answers(url)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def answers(url: str) -> bool:
    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return await asyncio.to_thread(ask)


async def passes(url: str) -> float:
    def ask() -> float:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        counters = [line for line in lines if line.startswith("ecs_dynamo_passes_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counters)

    return await asyncio.to_thread(ask)


async def goes_on(url: str) -> None:
    """Wait until one more pass ends."""
    before = await passes(url)

    async def more() -> bool:
        return await passes(url) > before

    await until("passes continue", more, 30)


async def test_a_log_that_cannot_be_written_does_not_end_the_daemon() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    reader, writer = os.pipe()
    async with daemon(full) as (full_disk, _), daemon(writer) as (closed_pipe, _):
        for file in (full, reader, writer):
            os.close(file)
        await asyncio.gather(goes_on(full_disk), goes_on(closed_pipe))


async def test_idle_connections_do_not_take_the_daemons_files(tmp_path: Path) -> None:
    assert raise_file_limit() > 2 * FILES
    log = tmp_path / "log"
    with log.open("w") as out:
        async with daemon(out.fileno(), files=FILES) as (url, _):
            port = int(url.rsplit(":", 1)[1])
            many = [await asyncio.open_connection("127.0.0.1", port) for _ in range(FILES + 75)]
            assert await answers(url)
            await goes_on(url)
            for _, writer in many:
                writer.close()
    assert "Traceback" not in log.read_text()
    assert log.read_text().count("closed idle HTTP connections") == 1


async def test_what_tasks_exit_with_is_reported_after_ecs_rolled_back_the_rollout(
    stack: Stack,
) -> None:
    await stack.converge()
    watcher = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "daemon.log")
    await watcher.start()
    try:

        def crash(document: dict[str, Any]) -> None:
            component_of(document, "frontend")["command"] = ["exit 7"]

        stack.edit(crash)
        watcher.send(signal.SIGHUP)

        def rolled_back(status: dict[str, Any]) -> bool:
            frontend = component(status, "frontend")
            return len(frontend.get("deployments", ())) == 1 and any(
                c["type"] == "Degraded" and c["component"] == "frontend" and c["status"]
                for c in status["conditions"]
            )

        status = await watcher.until("ECS rolls it back", rolled_back, 90)
        why = "exited with code 7"
        (message,) = (
            c["message"]
            for c in status["conditions"]
            if c["type"] == "Degraded" and c["component"] == "frontend"
        )
        assert why in message, message
        assert any(why in task["why"] for task in component(status, "frontend")["stopped"])
        assert any(e["kind"] == "exit" and why in e["message"] for e in status["events"])
        _, out, _ = await stack.cli("status", "-f", str(stack.graph_file))
        assert why in out
    finally:
        await watcher.stop()
