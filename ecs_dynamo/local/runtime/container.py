"""A container: a process under an init, with its log, its health check, and its end."""

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
"""How long to wait for SIGKILL to take effect. Only an overloaded machine needs this long."""
FIRST_CHECKS_SECONDS = 0.5
"""Longest interval between health checks of a container that has not been healthy yet."""


def base_environment() -> dict[str, str]:
    """Return the environment of every container. The server's own environment is not inherited."""
    programs = str(Path(sys.executable).parent)
    return {
        "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 (a fallback, nothing is written)
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to the command under the init (see `init` for those that cannot be handled)."""
    if number in (signal.SIGKILL, signal.SIGSTOP):
        number += signal.SIGRTMIN
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


class ContainerProcess:
    """Runs a container, and calls ``on_change`` whenever ``status`` has changed."""

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
        """All environment variables of the container."""
        return {**base_environment(), **self._command.environment}

    def _set(self, **changes: object) -> None:
        status = replace(self.status, **changes)  # type: ignore[arg-type]  # fields by name
        if status.last_status == "STOPPED":
            self.stopped.set()
        if status != self.status:
            self.status = status
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
        """Start the process, and begin to watch for its end and its health."""
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
        # Negative if the init itself was killed, before it could return the command's exit code.
        self._set(last_status="STOPPED", exit_code=128 - code if code < 0 else code)

    async def _check(self, check: HealthCheck) -> None:
        """Check health: HEALTHY after a success, UNHEALTHY after ``retries`` consecutive failures.

        Failures within the start period do not count (ECS API reference, HealthCheck). A
        container that has not been healthy yet is checked more often than declared, so that a
        local start does not wait for intervals that are chosen for the cloud. Its failures are
        still counted once per declared interval.
        """
        clock = asyncio.get_running_loop().time
        start = clock() + check.start_period
        failures = 0
        while not self.stopped.is_set():
            never_healthy = self.status.health == "UNKNOWN"
            await asyncio.sleep(
                min(check.interval, FIRST_CHECKS_SECONDS) if never_healthy else check.interval
            )
            if await self._healthy(check):
                failures = 0
                self._set(health="HEALTHY")
                continue
            failures = int((clock() - start) / check.interval) if never_healthy else failures + 1
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
        """Send a signal to the command; SIGKILL and SIGSTOP go to all of its processes."""
        if self._process is not None:
            _signal(self._process, number)

    async def stop(self) -> None:
        """Send SIGTERM and, after ``stop_timeout`` seconds, SIGKILL. Returns when it is STOPPED."""
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
