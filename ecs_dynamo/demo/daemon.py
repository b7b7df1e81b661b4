"""The daemon under demonstration: `ecs-dynamo run` as a process, seen through its HTTP port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from ecs_dynamo.model.errors import EcsDynamoError

START_SECONDS = 30.0


class DemoDaemon:
    """Starts, asks and stops one daemon. ``status`` is that of the first graph file's graph."""

    def __init__(
        self, graph_file: Path, environ: Mapping[str, str], log: Path, *more: Path
    ) -> None:
        self._graph_files = (graph_file, *more)
        self._environ = dict(environ)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.status: dict[str, Any] = {}
        self.others: list[dict[str, Any]] = []
        self.queue: dict[str, Any] = {}

    async def start(self) -> None:
        """Start it, and wait until its port answers."""
        with self._log.open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ecs_dynamo",
                "run",
                *(word for file in self._graph_files for word in ("-f", str(file))),
                "--http-port",
                "0",
                env={**os.environ, **self._environ, "ECS_DYNAMO_LOG_FORMAT": "json"},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.url:
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise EcsDynamoError(f"the daemon did not start; see {self._log}")
            found = re.search(r'"url": "(http://[^"]+)"', self._log.read_text(errors="replace"))
            self.url = found.group(1) if found else ""
            await asyncio.sleep(0.05)

    async def look(self) -> dict[str, Any]:
        """The first graph's part of `/status`; the others' are kept in ``others``, and the event
        queue's in ``queue``."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"{self.url}/status") as answer,
        ):
            found = await answer.json()
        self.status, *self.others = found["graphs"]
        self.queue = found["eventQueue"] or {}
        return self.status

    async def until(
        self, what: str, holds: Callable[[dict[str, Any]], bool], timeout: float
    ) -> dict[str, Any]:
        """Wait until the status ``holds``; EcsDynamoError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                status = await self.look()
                if holds(status):
                    return status
            except (aiohttp.ClientError, TimeoutError, OSError):
                status = {}
            if self._process is not None and self._process.returncode is not None:
                raise EcsDynamoError(f"the daemon exited; see {self._log}")
            if time.monotonic() > deadline:
                waits = [f"{w['component']}: {w['reason']}" for w in status.get("waits", ())]
                raise EcsDynamoError(
                    f"{what}: not within {timeout:.0f} s ({'; '.join(waits) or 'no wait told'})"
                )
            await asyncio.sleep(0.25)

    def send(self, number: int) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a chance to clean up, as a crash would."""
        self.send(signal.SIGKILL)

    async def stop(self) -> tuple[int, float]:
        """SIGTERM; the exit code and how many seconds it took."""
        process = self._process
        if process is None:
            return 0, 0.0
        self._process = None
        started = time.monotonic()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(process.wait(), 30.0)
        except TimeoutError:
            process.kill()
            code = await process.wait()
        return code, time.monotonic() - started


def component(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One component of a status; empty while it is not told yet."""
    for one in status.get("components", ()):
        if one["name"] == name:
            return dict(one)
    return {}


def ready(status: Mapping[str, Any], name: str) -> int:
    """Ready replicas of a component."""
    return int((component(status, name).get("replicas") or {}).get("ready", 0))


def desired(status: Mapping[str, Any], name: str) -> int:
    """Desired replicas of a component."""
    return int((component(status, name).get("replicas") or {}).get("desired", 0))
