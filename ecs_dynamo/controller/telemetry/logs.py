"""Logging: one structlog pipeline for the daemon and the command line; JSON except on terminals."""

from __future__ import annotations

import io
import json
import logging
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

import structlog

from ecs_dynamo.config import Settings

FULL_PIPE_MILLISECONDS = 100
"""Timeout for a full pipe: long enough for a slow reader, not for one that has stopped."""
CHUNK_BYTES = 4096
"""A writable pipe accepts as much at once (PIPE_BUF of Linux)."""


class Log:
    """The destination of log lines. A line that cannot be written is dropped and counted.

    Neither a full disk nor a reader that has left or stopped may stop the daemon. Lines are written
    without a buffer: a buffered stream would keep a failed line and fail with it again.
    """

    def __init__(self, stream: TextIO | None, *, as_json: bool) -> None:
        self.lost = 0
        self._as_json = as_json
        self._stream = stream
        self._file: int | None = None
        if stream is not None:
            with suppress(OSError, ValueError, io.UnsupportedOperation):
                self._file = stream.fileno()

    def msg(self, message: str) -> None:
        """Write one line."""
        text = message + "\n"
        if self.lost:
            entry = {"event": "log lines were lost", "count": self.lost, "level": "warning"}
            line = json.dumps(entry) if self._as_json else f"{self.lost} log lines were lost"
            text = f"{line}\n{text}"
        try:
            if self._file is not None:
                self._write(text.encode(errors="backslashreplace"))
            elif self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1
        else:
            self.lost = 0

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = err = msg

    def _write(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 (checked by the caller)
        ready = select.poll()
        ready.register(self._file, select.POLLOUT)
        while data:
            # After a loss, no line waits until one can be written again.
            if not ready.poll(0 if self.lost else FULL_PIPE_MILLISECONDS):
                raise BlockingIOError
            written = os.write(self._file, data[:CHUNK_BYTES])
            data = data[written:]


class _Forward(logging.Handler):
    """Forwards the log records of libraries as one line each, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            error = record.exc_info[1] if record.exc_info else None
            structlog.get_logger(record.name).warning(
                " ".join(record.getMessage().split())[:500],
                **({"error": f"{type(error).__name__}: {error}"[:500]} if error else {}),
            )


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Log to ``stream``, by default standard error; standard output is for results only."""
    # None if standard error was closed before the start.
    out: TextIO | None = stream if stream is not None else sys.stderr
    level = getattr(logging, settings.log_level.upper())
    on_terminal = out is not None and out.isatty()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not on_terminal)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        # Without local variables, which may contain secrets.
        transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(transform))
    log = Log(out, as_json=as_json)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: log,
        cache_logger_on_first_use=False,
    )
    # These libraries log connection losses, which the passes report themselves.
    for name in ("aiobotocore", "botocore", "nats", "aiohttp.access", "grpc", "aetcd"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # asyncio warns about the way in which nats-py closes TLS connections.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    root = logging.getLogger()
    others = [handler for handler in root.handlers if not isinstance(handler, _Forward)]
    root.handlers = [*others, _Forward(logging.WARNING)]
