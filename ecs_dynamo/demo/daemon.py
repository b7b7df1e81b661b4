"""The demonstrated daemon: an `ecs-dynamo run` process, observed through its HTTP port."""

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

from ecs_dynamo.discovery.fetch import fetch_json
from ecs_dynamo.model.errors import EcsDynamoError

START_SECONDS = 30.0
STATUS_SECONDS = 5.0
MAX_STATUS_BYTES = 16 * 1024 * 1024


class DemoDaemon:
    """One daemon process.

    ``url`` is that of the last start that succeeded. ``status`` is the last status of the first
    graph file's graph, ``others`` the statuses of the further graphs, and ``queue`` the status of
    the event queue.
    """

    def __init__(
        self, graph_file: Path, environ: Mapping[str, str], log: Path, *more_files: Path
    ) -> None:
        self._graph_files = (graph_file, *more_files)
        self._environ = dict(environ)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.status: dict[str, Any] = {}
        self.others: list[dict[str, Any]] = []
        self.queue: dict[str, Any] = {}

    async def start(self) -> None:
        """Start the daemon and wait until it logs the URL of its HTTP port.

        Raises EcsDynamoError if that does not happen within `START_SECONDS`. A start that fails or
        is cancelled leaves no process behind.
        """
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
        try:
            self.url = await self._logged_url(self._process)
        except BaseException:
            await self.stop()
            raise

    async def _logged_url(self, process: asyncio.subprocess.Process) -> str:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if process.returncode is not None or time.monotonic() > deadline:
                raise EcsDynamoError(f"the daemon did not start; see {self._log}")
            match = re.search(r'"url": "(http://[^"]+)"', self._log.read_text(errors="replace"))
            if match:
                return match.group(1)
            await asyncio.sleep(0.05)

    async def fetch_status(self) -> dict[str, Any]:
        """Read `/status` and return the first graph's part; also update the attributes."""
        document = await fetch_json(
            f"{self.url}/status", timeout=STATUS_SECONDS, max_bytes=MAX_STATUS_BYTES
        )
        self.status, *self.others = document["graphs"]
        self.queue = document["eventQueue"] or {}
        return self.status

    async def until(
        self, description: str, condition: Callable[[dict[str, Any]], bool], timeout: float
    ) -> dict[str, Any]:
        """Wait until the status meets ``condition``, and return it.

        Raises EcsDynamoError with ``description`` after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                status = await self.fetch_status()
                if condition(status):
                    return status
            except OSError:  # FetchError and TimeoutError are OSErrors.
                status = {}
            if self._process is not None and self._process.returncode is not None:
                raise EcsDynamoError(f"the daemon exited; see {self._log}")
            if time.monotonic() > deadline:
                raise EcsDynamoError(
                    f"{description}: not within {timeout:.0f} s "
                    f"({waits(status) or 'the daemon reports no wait'})"
                )
            await asyncio.sleep(0.25)

    def send(self, number: int) -> None:
        """Send the daemon a signal."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the daemon without a chance to clean up, like a crash."""
        self.send(signal.SIGKILL)

    async def stop(self) -> tuple[int, float]:
        """Send SIGTERM. Return the exit code and the seconds until the process ended."""
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


def waits(status: Mapping[str, Any]) -> str:
    """Return the components that wait, each with its reason; empty if none does."""
    return "; ".join(f"{w['component']}: {w['reason']}" for w in status.get("waits", ()))


def component(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return one component of a status, or an empty dictionary if the status has none yet."""
    for document in status.get("components", ()):
        if document["name"] == name:
            return dict(document)
    return {}


def ready(status: Mapping[str, Any], name: str) -> int:
    """Return the number of ready replicas of a component."""
    return int((component(status, name).get("replicas") or {}).get("ready", 0))


def desired(status: Mapping[str, Any], name: str) -> int:
    """Return the desired number of replicas of a component."""
    return int((component(status, name).get("replicas") or {}).get("desired", 0))
