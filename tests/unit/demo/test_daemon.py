"""The start of the demonstrated daemon, with a script instead of the Python interpreter."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.demo import daemon as module
from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.model.errors import EcsDynamoError

SILENT = "exec sleep 60"
"""A process that never logs a URL."""


class Started:
    """The processes that a daemon has started, and the script that they run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processes: list[Process] = []
        self.begun = asyncio.Event()
        self._program = folder / "program"
        self.log = folder / "daemon.log"
        self.daemon = DemoDaemon(folder / "graph.yaml", {}, self.log)
        create = asyncio.create_subprocess_exec

        async def record(*arguments: Any, **options: Any) -> Process:
            process = await create(*arguments, **options)
            self.processes.append(process)
            self.begun.set()
            return process

        monkeypatch.setattr(asyncio, "create_subprocess_exec", record)
        monkeypatch.setattr(sys, "executable", str(self._program))
        monkeypatch.setattr(module, "START_SECONDS", 0.3)

    def run(self, script: str) -> None:
        """Let the daemon's process run a shell script."""
        self._program.write_text(f"#!/bin/sh\n{script}\n")
        self._program.chmod(0o755)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(tmp_path, monkeypatch)


@pytest.mark.parametrize("script", [SILENT, "exit 3"])
async def test_a_start_that_fails_leaves_no_process(started: Started, script: str) -> None:
    started.run(script)
    with pytest.raises(EcsDynamoError) as caught:
        await started.daemon.start()
    assert str(caught.value) == f"the daemon did not start; see {started.log}"
    (process,) = started.processes
    assert process.returncode is not None


async def test_a_start_that_is_cancelled_leaves_no_process(started: Started) -> None:
    started.run(SILENT)
    start = asyncio.create_task(started.daemon.start())
    await started.begun.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    (process,) = started.processes
    assert process.returncode is not None


async def test_a_daemon_that_logs_its_url_has_started(started: Started) -> None:
    started.run(f"""echo '{{"url": "http://127.0.0.1:8123"}}'; {SILENT}""")
    await started.daemon.start()
    (process,) = started.processes
    assert (started.daemon.url, process.returncode) == ("http://127.0.0.1:8123", None)
    await started.daemon.stop()
    assert process.returncode is not None


async def test_a_second_start_waits_for_the_url_of_its_own_process(started: Started) -> None:
    for port in (8123, 8124):
        started.run(f"""echo '{{"url": "http://127.0.0.1:{port}"}}'; {SILENT}""")
        await started.daemon.start()
        assert started.daemon.url == f"http://127.0.0.1:{port}"
        await started.daemon.stop()
    started.run(SILENT)
    with pytest.raises(EcsDynamoError):
        await started.daemon.start()
