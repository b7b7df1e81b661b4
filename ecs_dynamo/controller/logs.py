"""Logging: one structlog pipeline for daemon and command line, JSON unless on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from ecs_dynamo.config import Settings


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error) as ``settings`` says; standard output stays the user's."""
    out = stream if stream is not None else sys.stderr
    level = getattr(logging, settings.log_level.upper())
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not out.isatty())
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
        # Without local variables: they may hold what must not be logged.
        transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(transform))
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    # Libraries log connection losses that the passes report in their own words.
    for name in ("aiobotocore", "botocore", "nats", "aiohttp.access", "grpc", "aetcd"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # It warns of how nats-py closes TLS.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
