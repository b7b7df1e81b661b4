"""Addresses on the loopback network, and forwarders for bridge mode's mapped ports.

127.1.0.0/16 holds EC2 instances, 127.64.0.0/16 the network interfaces of awsvpc tasks,
127.128.0.0/16 the containers of bridge tasks, and 127.192.0.0/16 what stands for names. Every one
is local without any set-up on Linux.
Addresses are given out in turn, so that a replacement never has the address of what it replaces.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator

FIRST_DYNAMIC_PORT = 32768
"""Where Docker's dynamic host ports begin (ECS developer guide, bridge mode)."""


def _hosts(prefix: str) -> Iterator[str]:
    for high, low in itertools.product(range(256), range(10, 250)):
        yield f"{prefix}.{high}.{low}"


class Addresses:
    """Gives out addresses and dynamic ports."""

    def __init__(self) -> None:
        self._instances = itertools.cycle(_hosts("127.1"))
        self._interfaces = itertools.cycle(_hosts("127.64"))
        self._containers = itertools.cycle(_hosts("127.128"))
        self._names = itertools.cycle(_hosts("127.192"))
        self._ports = itertools.cycle(range(FIRST_DYNAMIC_PORT, 60999))

    def instance(self) -> str:
        return next(self._instances)

    def interface(self) -> str:
        return next(self._interfaces)

    def container(self) -> str:
        return next(self._containers)

    def name(self) -> str:
        return next(self._names)

    def port(self) -> int:
        return next(self._ports)


class Forwarder:
    """Carries TCP from a host port to a container's, as Docker's proxy does.

    ``to`` is asked for each connection; it is closed where there is nowhere to go.
    """

    def __init__(self, host: str, port: int, to: Callable[[], tuple[str, int] | None]) -> None:
        self._from = (host, port)
        self._to = to
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. OSError where the port is taken."""
        self._server = await asyncio.start_server(self._accept, *self._from)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)
        target = self._to()
        try:
            if target is None:
                raise ConnectionRefusedError
            to_reader, to_writer = await asyncio.open_connection(*target)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))
        finally:
            writer.close()
            to_writer.close()

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
