"""Containers as real processes: start order, health, signals, and complete clean-up."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ecs_dynamo.local.runtime import (
    CannotPullContainerError,
    ContainerLaunch,
    ContainerStatus,
    HealthCheck,
    ImageTable,
    TaskLaunch,
    TaskProcess,
)

pytestmark = pytest.mark.integration

Starter = Callable[..., "Running"]


class Running:
    """A task under test, with its output."""

    def __init__(self, process: TaskProcess, folder: Path, changed: asyncio.Event) -> None:
        self.process = process
        self.folder = folder
        self._changed = changed

    async def until(self, name: str, **expected: object) -> None:
        """Wait until the container's status has the expected fields."""
        async with asyncio.timeout(15):
            while any(getattr(self[name], k) != v for k, v in expected.items()):
                self._changed.clear()
                await self._changed.wait()

    async def output(self, name: str, word: str) -> list[str]:
        """Wait until ``word`` is in the container's log; return the log's lines."""
        log = self.folder / f"{name}.log"
        deadline = time.monotonic() + 15
        while not (log.exists() and word in log.read_text()):
            assert time.monotonic() < deadline, f"{word} not in {log}"
            await asyncio.sleep(0.02)
        return log.read_text().split()

    def __getitem__(self, name: str) -> ContainerStatus:
        return next(c for c in self.process.containers if c.name == name)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Starter]:
    (tmp_path / "images.yaml").write_text("images: [{match: sh, entrypoint: [sh, -c]}]")
    images = ImageTable.load(tmp_path / "images.yaml")
    started: list[TaskProcess] = []

    def make(*containers: ContainerLaunch) -> Running:
        changed = asyncio.Event()
        launch = TaskLaunch("task", "127.9.0.10", containers, tmp_path)
        process = TaskProcess(launch, images, changed.set)
        started.append(process)
        return Running(process, tmp_path / "task", changed)

    yield make
    for process in started:
        await process.kill(signal.SIGKILL)
        await process.stop()


def state(pid: int) -> str:
    """Return the kernel's letter for the process's state, or "" if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie does not."""
    return state(pid) not in ("", "Z")


async def until_ended(*pids: int) -> None:
    """Wait until none of ``pids`` runs."""
    deadline = time.monotonic() + 15
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {[p for p in pids if alive(p)]}"
        await asyncio.sleep(0.02)


def shell(name: str, line: str, **fields: object) -> ContainerLaunch:
    return ContainerLaunch(name, "sh", command=(line,), **fields)  # type: ignore[arg-type]


async def test_the_end_of_an_essential_container_ends_the_task(start: Starter) -> None:
    task = start(shell("main", "exit 7"), shell("side", "exec sleep 60", essential=False))
    await task.process.start()
    await task.until("side", last_status="STOPPED")
    assert task["main"].exit_code == 7
    assert task["side"].exit_code == 143


async def test_a_container_that_is_not_essential_ends_alone(start: Starter) -> None:
    task = start(shell("main", "exec sleep 60"), shell("side", "exit 3", essential=False))
    await task.process.start()
    await task.until("side", last_status="STOPPED", exit_code=3)
    assert task["main"].last_status == "RUNNING"
    await asyncio.gather(task.process.stop(), task.process.stop())
    assert task["main"].exit_code == 143


async def test_sigterm_is_handled_and_its_exit_code_kept(start: Starter) -> None:
    task = start(shell("main", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"))
    await task.process.start()
    await task.output("main", "up")
    await task.process.stop()
    assert task["main"].exit_code == 5


async def test_a_container_that_ignores_sigterm_is_killed_after_its_stop_timeout(
    start: Starter,
) -> None:
    task = start(
        shell("main", "trap '' TERM; echo up; while :; do sleep 0.05; done", stop_timeout=0.3)
    )
    await task.process.start()
    await task.output("main", "up")
    start_time = time.monotonic()
    await task.process.stop()
    assert task["main"].exit_code == 137
    assert time.monotonic() - start_time >= 0.3


async def test_a_frozen_container_is_killed(start: Starter) -> None:
    task = start(shell("main", "echo $$; exec sleep 60", stop_timeout=0.2))
    await task.process.start()
    [pid] = await task.output("main", "\n")
    await task.process.kill(signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while state(int(pid)) != "T":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert task["main"].last_status == "RUNNING"
    await task.process.stop()
    assert task["main"].exit_code == 137


async def test_nothing_outlives_the_main_process(start: Starter) -> None:
    # A child in the group, a child that left it, and that one's child.
    line = (
        "sleep 61 & echo $!; setsid sh -c 'sleep 62 & echo $!; echo $$; sleep 63' & "
        "while [ ! -e go ]; do sleep 0.02; done; exit 0"
    )
    task = start(shell("main", line))
    await task.process.start()
    deadline = time.monotonic() + 10
    log = task.folder / "main.log"
    while not log.exists() or len(log.read_text().split()) < 3:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    pids = [int(pid) for pid in log.read_text().split()]
    assert all(alive(pid) for pid in pids)
    (task.folder / "go").touch()
    await task.until("main", last_status="STOPPED", exit_code=0)
    await until_ended(*pids)


async def test_a_crash_is_reported_as_docker_does(start: Starter) -> None:
    task = start(shell("main", "echo up; exec sleep 60"))
    await task.process.start()
    await task.output("main", "up")
    await task.process.kill(signal.SIGKILL, "main")
    await task.until("main", last_status="STOPPED", exit_code=137)


async def test_containers_wait_for_their_dependencies(start: Starter) -> None:
    check = HealthCheck(("CMD-SHELL", "test -e healthy"), interval=0.05, timeout=5, retries=100)
    task = start(
        shell("setup", "echo set up; exit 0", essential=False),
        shell("base", "exec sleep 60", health_check=check, depends_on=(("setup", "SUCCESS"),)),
        shell("top", "exec sleep 60", depends_on=(("base", "HEALTHY"),)),
    )
    await task.process.start()
    await task.until("base", last_status="RUNNING")
    assert task["setup"].exit_code == 0
    assert task["top"].last_status == "PENDING"
    (task.folder / "healthy").touch()
    await task.until("top", last_status="RUNNING")
    assert task["base"].health == "HEALTHY"


async def test_a_dependency_that_failed_ends_the_task(start: Starter) -> None:
    task = start(
        shell("setup", "exit 1", essential=False),
        shell("main", "exec sleep 60", depends_on=(("setup", "SUCCESS"),)),
    )
    await task.process.start()
    await task.until("main", last_status="STOPPED")
    assert task["main"].exit_code is None
    assert task["setup"].exit_code == 1


async def test_health_follows_the_check(start: Starter) -> None:
    check = HealthCheck(
        ("CMD-SHELL", 'test "$COLOUR" = green -a -e fine'), interval=0.05, timeout=5, retries=2
    )
    task = start(
        shell("main", "exec sleep 60", health_check=check, environment={"COLOUR": "green"})
    )
    await task.process.start()
    await task.until("main", health="UNHEALTHY")
    (task.folder / "fine").touch()
    await task.until("main", health="HEALTHY")
    (task.folder / "fine").unlink()
    await task.until("main", health="UNHEALTHY")
    assert task["main"].last_status == "RUNNING"


async def test_a_check_that_hangs_fails_and_is_killed(start: Starter) -> None:
    check = HealthCheck(
        ("CMD-SHELL", "echo $$ > pid; exec sleep 64"), interval=0.05, timeout=0.3, retries=1
    )
    task = start(shell("main", "exec sleep 60", health_check=check))
    await task.process.start()
    await task.until("main", health="UNHEALTHY")
    first = int((task.folder / "pid").read_text())
    await task.process.stop()
    await until_ended(first)


async def test_a_container_that_cannot_start_reports_the_reason(
    start: Starter, tmp_path: Path
) -> None:
    task = start(ContainerLaunch("main", "sh", entry_point=("no-such-program",)))
    await task.process.start()
    await task.until("main", last_status="STOPPED", exit_code=127)
    assert "no-such-program" in (task.folder / "main.log").read_text()
    unknown = start(ContainerLaunch("main", "other"))
    with pytest.raises(CannotPullContainerError):
        await unknown.process.start()


SERVER = """
import asyncio, sys
from pathlib import Path
from ecs_dynamo.local.runtime import ContainerLaunch, ImageTable, TaskLaunch, TaskProcess

async def main():
    folder = Path(sys.argv[1])
    images = ImageTable.load(folder / "images.yaml")
    line = "setsid sleep 71 & echo $!; sleep 72 & echo $!; echo $$; wait"
    task = TaskProcess(
        TaskLaunch("task", "127.9.0.11", (ContainerLaunch("c", "sh", command=(line,)),), folder),
        images, lambda: None)
    await task.start()
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_nothing_outlives_a_killed_server(tmp_path: Path) -> None:
    (tmp_path / "images.yaml").write_text("images: [{match: sh, entrypoint: [sh, -c]}]")
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, str(tmp_path))
    try:
        log = tmp_path / "task" / "c.log"
        deadline = time.monotonic() + 20
        while not log.exists() or len(log.read_text().split()) < 3:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    finally:
        server.kill()
        await asyncio.wait_for(server.wait(), 10)
    await until_ended(*(int(pid) for pid in log.read_text().split()))
