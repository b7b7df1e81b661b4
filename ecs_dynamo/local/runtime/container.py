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


class ContainerProcess:
    """Runs one container. ``on_change`` is called whenever ``status`` is another."""

    def __init__(
        self,
        launch: ContainerLaunch,
        command: Command,
        health_words: tuple[str, ...],
        directory: Path,
        on_change: Callable[[], None],
    ) -> None:
        self.launch = launch
        self.status = ContainerStatus(launch.name)
        self.stopped = asyncio.Event()
        self._command = command
        self._health_words = health_words
        self._directory = directory
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._owned: list[asyncio.Task[None]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        return {**base_environment(), **self._command.environment}

    def _set(self, **changes: object) -> None:
        after = replace(self.status, **changes)  # type: ignore[arg-type]  # fields by name
        if after != self.status:
            self.status = after
            self._on_change()

    async def start(self) -> None:
        """Spawn it; from then on its end is watched."""
        if self.status.last_status != "PENDING":
            return
        log = self._directory / f"{self.launch.name}.log"
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(INIT),
                str(os.getpid()),
                *self._command.words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=fd,
                stderr=fd,
                cwd=self._directory,
                env=dict(self.environment),
                start_new_session=True,
            )
        except OSError as error:
            self._set(last_status="STOPPED", exit_code=127, reason=f"CannotStart: {error}")
            self.stopped.set()
            return
        finally:
            os.close(fd)
        self._set(last_status="RUNNING", pid=self._process.pid)
        self._owned.append(asyncio.create_task(self._watch(self._process)))
        if self.launch.health_check is not None:
            self._owned.append(asyncio.create_task(self._check(self.launch.health_check)))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        reason = "OutOfMemoryError or SIGKILL" if code == 137 else None
        self._set(last_status="STOPPED", exit_code=code, reason=reason)
        self.stopped.set()

    async def _check(self, check: HealthCheck) -> None:
        """HEALTHY at the first success, UNHEALTHY after ``retries`` failures in a row.

        Failures within the start period do not count (ECS API reference, HealthCheck).
        """
        loop = asyncio.get_running_loop()
        started, failures = loop.time(), 0
        while not self.stopped.is_set():
            # During the start period ECS's agent would look once an interval too; here it looks
            # more often, so that a local start is not slowed by intervals meant for the cloud.
            young = self.status.health == "UNKNOWN"
            await asyncio.sleep(min(check.interval, 0.5) if young else check.interval)
            if self.stopped.is_set():
                return
            if await self._healthy(check):
                failures = 0
                self._set(health="HEALTHY")
            elif loop.time() - started >= check.start_period or not young:
                failures += 1
                if young:
                    # Looked at faster than declared: count by time instead of by number.
                    waited = loop.time() - started - check.start_period
                    failures = int(waited // check.interval)
                if failures >= check.retries:
                    self._set(health="UNHEALTHY")

    async def _healthy(self, check: HealthCheck) -> bool:
        kind, *words = self._health_words
        argv = ["/bin/sh", "-c", words[0]] if kind == "CMD-SHELL" else words
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=self._directory,
                env=dict(self.environment),
                start_new_session=True,
            )
        except OSError:
            return False
        try:
            return await asyncio.wait_for(process.wait(), check.timeout) == 0
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def send(self, number: int) -> None:
        """A signal to the command; SIGKILL by way of its init, which kills the whole group."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGUSR1 if number == signal.SIGKILL else number)

    async def stop(self) -> None:
        """SIGTERM, ``stop_timeout`` seconds, SIGKILL. Returns when it is STOPPED."""
        if self._process is None:
            self._set(last_status="STOPPED")
            self.stopped.set()
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
