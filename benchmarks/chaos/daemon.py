"""The daemon of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from signal import SIGHUP
from typing import Any

from ecs_dynamo.demo.daemon import DemoDaemon, waits

RESTART_SECONDS = 3.0
"""Time until the daemon's own ECS service runs a new daemon."""


class StageDaemon:
    """A daemon process that can end and be started again.

    ``environ`` is added to the environment of each process. Each has a log of its own in
    ``folder``.
    """

    def __init__(self, graph_file: Path, folder: Path) -> None:
        self._graph_file, self._folder = graph_file, folder
        self.environ: dict[str, str] = {}
        self._process: DemoDaemon | None = None
        self._starts = 0

    @property
    def is_started(self) -> bool:
        """Return whether a process has been started and not stopped or killed since."""
        return self._process is not None

    async def start(self, **environ: str) -> None:
        """Start a process, with additional variables in its environment."""
        self._starts += 1
        log = self._folder / f"daemon-{self._starts}.log"
        process = DemoDaemon(self._graph_file, self.environ | environ, log)
        await process.start()
        self._process = process

    async def stop(self) -> tuple[int, float]:
        """Send SIGTERM. Return the exit code and the seconds until the process ended."""
        process, self._process = self._process, None
        return (0, 0.0) if process is None else await process.stop()

    async def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None:
            self._process.kill()
        await self.stop()

    def reload(self) -> None:
        """Make the daemon read the graph file again, if it runs."""
        if self._process is not None:
            self._process.send(SIGHUP)

    async def status(self) -> dict[str, Any]:
        """Return the graph's part of `/status`, or an empty dictionary without an answer."""
        if self._process is None:
            return {}
        try:
            return await self._process.fetch_status()
        except (OSError, KeyError, ValueError):
            return {}


def unconverged_reason(status: Mapping[str, Any]) -> str | None:
    """Return why, according to its ``status``, the daemon has not converged; None if it has."""
    if status.get("converged"):
        return None
    return f"the daemon has not converged: {waits(status) or 'it reports no wait'}"
