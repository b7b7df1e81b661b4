"""A TCP forwarder from one address to another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


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
