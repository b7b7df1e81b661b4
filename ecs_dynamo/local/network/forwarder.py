"""A TCP forwarder, for mapped ports in bridge mode and for names of services."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Forwarder:
    """Forwards TCP connections from a port to a target, as Docker's proxy does.

    ``choose_target`` is called for each connection. If it returns None, the connection is closed.
    """

    def __init__(
        self, host: str, port: int, choose_target: Callable[[], tuple[str, int] | None]
    ) -> None:
        self._listen_address = (host, port)
        self._choose_target = choose_target
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen. Raises OSError if the port is in use."""
        self._server = await asyncio.start_server(self._accept, *self._listen_address)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        target = self._choose_target()
        try:
            if target is None:
                raise ConnectionRefusedError
            target_reader, target_writer = await asyncio.open_connection(*target)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))
        finally:
            writer.close()
            target_writer.close()

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
