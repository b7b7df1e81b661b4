"""Real Dynamo without ECS: a frontend and mock workers as processes of the test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from ecs_dynamo.discovery import probe
from ecs_dynamo.model.graph import Role
from tests.integration.servers import etcd_process, free_port
from tests.integration.stack import until

MODEL = "tiny"
SLOW = ("--max-num-seqs", "1", "--max-num-batched-tokens", "1024", "--speedup-ratio", "0.2")
"""An engine that takes about 0.3 s for a prompt of 1,400 tokens, one at a time."""


@dataclass
class Dynamo:
    """A running frontend and its workers. ``logs`` receives their output."""

    etcd: str
    model: Path
    logs: Path
    session: aiohttp.ClientSession
    url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    async def start_frontend(self, *arguments: str) -> None:
        """Start the frontend and wait until it answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._run("frontend", "dynamo.frontend", "--http-port", str(port), *arguments)

        async def answers() -> bool:
            try:
                async with self.session.get(f"{self.url}/live") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until("the frontend answers", answers, 30)

    def start_worker(self, name: str, *arguments: str, **environ: str) -> None:
        """Start a mock worker; its name is its mode (``prefill``, ``decode`` or ``agg``)."""
        model = ("--model-path", str(self.model), "--model-name", MODEL)
        mode = ("--disaggregation-mode", name)
        self._run(name, "dynamo.mocker", *model, *mode, *arguments, DYN_SYSTEM_PORT="0", **environ)

    def _run(self, name: str, module: str, *arguments: str, **environ: str) -> None:
        base = {
            "ETCD_ENDPOINTS": self.etcd,
            "HF_HUB_OFFLINE": "1",
            "RAYON_NUM_THREADS": "2",
            "TOKIO_WORKER_THREADS": "2",
        }
        with (self.logs / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                (sys.executable, "-m", module, *arguments),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **base, **environ},
            )

    async def served(self) -> bool:
        """Return whether the frontend lists the model."""
        return MODEL in (await probe(Role.FRONTEND, self.url, 1.0)).models

    async def chat(self, prompt: str, tokens: int) -> tuple[int, str]:
        """Return status and body of a completion of exactly ``tokens`` tokens."""
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "ignore_eos": True,
        }
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            return answer.status, await answer.text()

    async def stop(self, *names: str) -> None:
        """Kill processes and wait for their end."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            await asyncio.to_thread(self.processes[name].wait)


@asynccontextmanager
async def running_dynamo(model: Path, folder: Path) -> AsyncIterator[Dynamo]:
    """Run an etcd; yield a Dynamo without processes, which are killed at the end."""
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        etcd_process(folder) as etcd,
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
    ):
        dynamo = Dynamo(etcd, model, folder, session)
        try:
            yield dynamo
        finally:
            await dynamo.stop(*dynamo.processes)


def prompt(number: int, words: int = 220) -> str:
    """Return a prompt that shares no prefix with another, so that each is prefilled in full."""
    return " ".join(f"w{number}x{i}" for i in range(words))
