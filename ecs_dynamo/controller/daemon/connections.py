"""Limits of the connections to the daemon's port: their number, and how long they may be idle.

Any client that reaches the port can open connections and send nothing. Each takes a file
descriptor, and a daemon without free descriptors reaches neither AWS nor a replica (gRPC even ends
the process).
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
FILES_PER_CONNECTION = 4
"""One in this many file descriptors is for the port; the others are for the daemon's work."""
MAX_FILES = 65_536
REQUEST_SECONDS = 10.0
"""Time limit from a connection, or the first byte of another request, to the end of its headers."""
IDLE_SECONDS = 75.0
"""Time limit between requests; longer than the 60 s after which load balancers close their side."""
LOG_INTERVAL_SECONDS = 60.0
"""Minimum interval between two log lines about closed connections."""


def raise_file_limit() -> int:
    """Raise the soft limit of open files towards the hard one, and return the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return MAX_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError) as error:
        _log.warning("failed to raise the limit of open files", limit=soft, error=str(error))
        return soft
    return target


class Connections:
    """The open connections of one server, the longest idle one first."""

    def __init__(
        self,
        files: int,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.limit = max(1, min(MAX_CONNECTIONS, files // FILES_PER_CONNECTION))
        self.request_seconds = request_seconds
        self.idle_seconds = idle_seconds
        self._open: dict[asyncio.BaseProtocol, _Guarded] = {}
        self._closed = 0
        """Connections that were closed since the last log line about them."""
        self._logged_at = float("-inf")

    @property
    def count(self) -> int:
        """Number of open connections."""
        return len(self._open)

    def guard(self, factory: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return a factory of the same protocols under these limits."""
        return lambda: _Guarded(self, factory())

    def opened(self, guarded: _Guarded) -> None:
        """Add a connection. At the limit, the longest idle one is closed for it."""
        if len(self._open) >= self.limit:
            oldest = next(iter(self._open))
            self._open.pop(oldest).abort()
            self._closed += 1
            now = time.monotonic()
            if now - self._logged_at >= LOG_INTERVAL_SECONDS:
                _log.warning("closed idle HTTP connections", limit=self.limit, closed=self._closed)
                self._logged_at, self._closed = now, 0
        self._open[guarded.inner] = guarded

    def closed(self, guarded: _Guarded) -> None:
        """Remove a connection that has ended."""
        self._open.pop(guarded.inner, None)

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Note the request of a connection, which then is the least idle one."""
        guarded = self._open.pop(request.protocol, None)
        if guarded is not None:
            self._open[request.protocol] = guarded
            guarded.note_request()
        return await handler(request)


class _Guarded(asyncio.Protocol):
    """Passes all data on, and closes a connection that takes too long to send a request."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_request = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (create_server passes one)
        self._transport = transport
        self._connections.opened(self)
        self._abort_after(self._connections.request_seconds)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._in_request:
            self._in_request = True
            self._abort_after(self._connections.request_seconds)
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

    def note_request(self) -> None:
        """Start the idle time: a complete request has arrived, which is answered at once."""
        self._in_request = False
        self._abort_after(self._connections.idle_seconds)

    def abort(self) -> None:
        """Close the connection at once; unsent data is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _abort_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)


class OneLineHandler(logging.Handler):
    """Forwards the log records of aiohttp's server as one line each.

    An invalid request is the client's error: a traceback would not help.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            reason = " ".join(str(error.message or error).split())[:200]
            _log.warning(
                "rejected an HTTP request", reason=reason, detail=record.getMessage()[:200]
            )
        elif error is not None:
            _log.error("failed to answer an HTTP request", exc_info=error)
        else:
            _log.warning("message of the HTTP server", detail=record.getMessage()[:500])


def server_logger() -> logging.Logger:
    """Return the logger for aiohttp's server."""
    logger = logging.getLogger("ecs_dynamo.http")
    logger.propagate = False
    logger.handlers = [OneLineHandler()]
    return logger
