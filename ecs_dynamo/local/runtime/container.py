"""One container: a process under its own init, its log, its health check, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ecs_dynamo.local.runtime.images import Command
from ecs_dynamo.local.runtime.launch import ContainerLaunch, ContainerStatus, HealthCheck

INIT = Path(__file__).with_name("init.py")
KILL_SECONDS = 10.0
"""SIGKILL ends a process at once; this long only on a machine that is starved."""
YOUNG_SECONDS = 0.5
"""How often a container is looked at that was not healthy yet, where ECS would wait an interval."""


def base_environment() -> dict[str, str]:
    """What a container has without being told; the machine's own variables stay outside."""
    here = str(Path(sys.executable).parent)
    return {
        "PATH": f"{here}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 (a fallback, nothing is written)
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send to the command under the init; what can not be handled goes by its stand-in."""
    if number in (signal.SIGKILL, signal.SIGSTOP):
        number += signal.SIGRTMIN
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


class ContainerProcess:
    """Runs one container. ``on_change`` is called whenever ``status`` is another."""

    def __init__(
        self,
        launch: ContainerLaunch,
        command: Command,
        directory: Path,
        network: str,
        on_change: Callable[[], None],
    ) -> None:
        self.launch = launch
        self.status = ContainerStatus(launch.name)
        self.stopped = asyncio.Event()
        self._command = command
        self._directory = directory
        self._network = network
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._owned: list[asyncio.Task[None]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        return {**base_environment(), **self._command.environment}

    def _set(self, **changes: object) -> None:
        after = replace(self.status, **changes)  # type: ignore[arg-type]  # fields by name
        if after.last_status == "STOPPED":
            self.stopped.set()
        if after != self.status:
            self.status = after
            self._on_change()

    async def _spawn(
        self, words: tuple[str, ...], output: int, network: str = ""
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(INIT),
            str(os.getpid()),
            network,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self._directory,
            env=dict(self.environment),
            start_new_session=True,
        )

    async def start(self) -> None:
        """Spawn it; from then on its end is watched."""
        if self.status.last_status != "PENDING":
            return
        if not self._command.words:
            self._set(last_status="STOPPED", reason="CannotStartContainerError: no command")
            return
        log = self._directory / f"{self.launch.name}.log"
        try:
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._process = await self._spawn(self._command.words, fd, self._network)
            finally:
                os.close(fd)
        except OSError as error:
            self._set(last_status="STOPPED", reason=f"CannotStartContainerError: {error}")
            return
        self._set(last_status="RUNNING", pid=self._process.pid)
        self._owned.append(asyncio.create_task(self._watch(self._process)))
        if self.launch.health_check is not None:
            self._owned.append(asyncio.create_task(self._check(self.launch.health_check)))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        # Negative where the init itself was killed, before it could say how the command ended.
        self._set(last_status="STOPPED", exit_code=128 - code if code < 0 else code)

    async def _check(self, check: HealthCheck) -> None:
        """HEALTHY at a success, UNHEALTHY after ``retries`` failures in a row.

        Failures within the start period do not count (ECS API reference, HealthCheck). A
        container that was not healthy yet is looked at more often than declared, so that a local
        start does not wait for intervals meant for the cloud; its failures count by intervals.
        """
        clock = asyncio.get_running_loop().time
        begin = clock() + check.start_period
        failures = 0
        while not self.stopped.is_set():
            young = self.status.health == "UNKNOWN"
            await asyncio.sleep(min(check.interval, YOUNG_SECONDS) if young else check.interval)
            if await self._healthy(check):
                failures = 0
                self._set(health="HEALTHY")
                continue
            failures = int((clock() - begin) / check.interval) if young else failures + 1
            if failures >= check.retries:
                self._set(health="UNHEALTHY")

    async def _healthy(self, check: HealthCheck) -> bool:
        kind, *words = self._command.health
        argv = ("/bin/sh", "-c", *words[:1]) if kind == "CMD-SHELL" else tuple(words)
        try:
            process = await self._spawn(argv, asyncio.subprocess.DEVNULL)
        except OSError:
            return False
        try:
            return await asyncio.wait_for(process.wait(), check.timeout) == 0
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:
                _signal(process, signal.SIGKILL)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), KILL_SECONDS)

    def send(self, number: int) -> None:
        """A signal to the command; SIGKILL and SIGSTOP to all of its processes."""
        if self._process is not None:
            _signal(self._process, number)

    async def stop(self) -> None:
        """SIGTERM, ``stop_timeout`` seconds, SIGKILL. Returns when it is STOPPED."""
        if self._process is None:
            self._set(last_status="STOPPED")
        else:
            self.send(signal.SIGTERM)
            for timeout in (self.launch.stop_timeout, KILL_SECONDS):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), timeout)
                    break
                self.send(signal.SIGKILL)
        for task in self._owned:
            task.cancel()
        await asyncio.gather(*self._owned, return_exceptions=True)
