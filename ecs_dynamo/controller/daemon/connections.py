"""Who may stay connected to the daemon's port: so many, for so long, each only while it asks.

Whoever reaches the port can open connections and say nothing. Each takes a file descriptor, and a
daemon that has none left reaches neither AWS nor a replica (gRPC even ends the process).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 256
SHARE = 4
"""Of the file descriptors, one in so many is for the port; the others are for the daemon's work."""
MAX_FILES = 65_536
REQUEST_SECONDS = 10.0
"""From a connection, or the first byte of a further request, to the end of its headers."""
IDLE_SECONDS = 75.0
"""Without a request; above the 60 s after which load balancers close their own side."""
TOLD_SECONDS = 60.0
"""How often at most it is logged that connections are closed for others."""


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the hard one allows; the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    aim = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= aim:
        return MAX_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    except (OSError, ValueError) as error:
        _log.warning("limit of open files not raised", limit=soft, error=str(error))
        return soft
    return aim


class Connections:
    """The connections of one server, longest without a request first."""

    def __init__(
        self,
        files: int,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.limit = max(1, min(MAX_CONNECTIONS, files // SHARE))
        self.request_seconds = request_seconds
        self.idle_seconds = idle_seconds
        self._open: dict[asyncio.BaseProtocol, _Guarded] = {}
        self._closed = 0
        self._told_at = float("-inf")

    @property
    def count(self) -> int:
        """How many there are now."""
        return len(self._open)

    def guard(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A factory of protocols as ``make`` gives them, each under these limits."""
        return lambda: _Guarded(self, make())

    def opened(self, guarded: _Guarded) -> None:
        """One more: at the limit the one that has asked for nothing for longest makes room."""
        if len(self._open) >= self.limit:
            oldest = next(iter(self._open))
            self._open.pop(oldest).abort()
            self._closed += 1
            now = time.monotonic()
            if now - self._told_at >= TOLD_SECONDS:
                _log.warning(
                    "HTTP connections closed to make room", limit=self.limit, closed=self._closed
                )
                self._told_at, self._closed = now, 0
        self._open[guarded.inner] = guarded

    def closed(self, guarded: _Guarded) -> None:
        """It has ended."""
        self._open.pop(guarded.inner, None)

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Note that the connection asks."""
        guarded = self._open.pop(request.protocol, None)
        if guarded is not None:
            self._open[request.protocol] = guarded
            guarded.asks()
        return await handler(request)


class _Guarded(asyncio.Protocol):
    """Passes everything on, and ends a connection that takes too long to ask."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asking = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (of create_server)
        self._transport = transport
        self._connections.opened(self)
        self._within(self._connections.request_seconds)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._asking:
            self._asking = True
            self._within(self._connections.request_seconds)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._connections.closed(self)
        self.inner.connection_lost(exc)

    def asks(self) -> None:
        """A whole request has come; it is answered at once, and read in the idle time."""
        self._asking = False
        self._within(self._connections.idle_seconds)

    def abort(self) -> None:
        """End it, with whatever is not sent yet."""
        if self._transport is not None:
            self._transport.abort()

    def _within(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)


class OneLine(logging.Handler):
    """What aiohttp's server logs, as one line in this daemon's log.

    A request that is none is whoever sent it's mistake: its traceback tells nothing.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            reason = " ".join(str(error.message or error).split())[:200]
            _log.warning("HTTP request refused", reason=reason, detail=record.getMessage()[:200])
        elif error is not None:
            _log.error("HTTP request failed", exc_info=error)
        else:
            _log.warning(record.getMessage()[:500])


def server_logger() -> logging.Logger:
    """The logger for aiohttp's server."""
    logger = logging.getLogger("ecs_dynamo.http")
    logger.propagate = False
    logger.handlers = [OneLine()]
    return logger
