"""Running the daemon until a signal stops it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.config import Settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.http import serve_http
from ecs_dynamo.controller.daemon.loop import GraphLoop
from ecs_dynamo.controller.reconcile.reconciler import aws_options, open_reconciler
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.status import timestamp
from ecs_dynamo.controller.triggers.ecs_events import EventQueueReader, follow_events
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.errors import InputError, Problem

_log = structlog.get_logger(__name__)

CLOSING_SECONDS = 3.0
"""Part of the shutdown timeout that is reserved for closing connections."""


def _load(paths: Sequence[Path], environ: Mapping[str, str]) -> list[GraphFile]:
    """Load the graph files. Raises InputError with the problems of all of them."""
    files: list[GraphFile] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            files.append(GraphFile(path, environ))
        except InputError as error:
            problems += error.problems
    names = [file.graph.name for file in files]
    problems += [
        Problem(
            f"{names.count(name)} of the graph files declare a graph with this name",
            field="name",
            remedy=f"rename one of the graphs {name!r}",
        )
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise InputError(problems)
    return files


def daemon_status(
    started_at: float, loops: Sequence[GraphLoop], queue: EventQueueReader | None
) -> dict[str, Any]:
    """Return the document of `/status`. ``started_at`` is in UTC seconds."""
    return {
        "startedAt": timestamp(started_at),
        "graphs": [loop.status() for loop in loops],
        "eventQueue": queue.status() if queue is not None else None,
    }


async def run_daemon(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    settings: Settings,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Run until SIGTERM or SIGINT. ``on_ready`` is called with the URL of the HTTP server.

    Raises InputError for files that are invalid at the start, and for a port in use.
    """
    files = _load(paths, environ)
    metrics, events = Metrics(), EventRing()
    started_at = time.time()
    async with AsyncExitStack() as stack:
        loops: list[GraphLoop] = []
        for file in files:
            reconciler = await stack.enter_async_context(open_reconciler(file.graph, settings))
            metrics.add_client(reconciler.aws)
            loops.append(GraphLoop(file, reconciler, settings, metrics, events))

        queue = await stack.enter_async_context(_follow_event_queue(loops, settings))
        if queue is not None:
            metrics.add_event_queue(queue)
        url = await stack.enter_async_context(
            serve_http(
                settings.http_host,
                settings.http_port,
                status=lambda: daemon_status(started_at, loops, queue),
                metrics=metrics.text,
                ready=lambda: {loop.name: loop.is_fresh for loop in loops},
            )
        )
        _log.info("started", graphs=[loop.name for loop in loops], url=url)
        on_ready(url)
        await _run_until_stopped(loops, settings.shutdown_timeout_seconds)
    _log.info("stopped")


@asynccontextmanager
async def _follow_event_queue(
    loops: Sequence[GraphLoop], settings: Settings
) -> AsyncIterator[EventQueueReader | None]:
    """Wake the graphs whose clusters ECS events concern. Yields None without a queue."""
    if settings.event_queue_url is None:
        yield None
        return

    def wake(clusters: set[str] | None, notices: Mapping[str, Notice]) -> None:
        for loop in loops:
            loop.add_notices(notices)
            names = {resource_name(name) for name in loop.file.graph.clusters}
            if clusters is None or clusters & names:
                loop.wake()

    def on_problem(problem: str | None) -> None:
        for loop in loops:
            loop.note_event_queue(problem)

    options = aws_options(loops[0].file.graph, settings)
    async with follow_events(options, settings.event_queue_url, wake, on_problem) as queue:
        yield queue


async def _run_until_stopped(loops: Sequence[GraphLoop], timeout: float) -> None:
    """Run the loops. On a signal, let them complete the current action within ``timeout``."""
    stop = asyncio.Event()

    def reload_all() -> None:
        for loop in loops:
            loop.reload()

    handlers: dict[int, Callable[[], None]] = {
        signal.SIGTERM: stop.set,
        signal.SIGINT: stop.set,
        signal.SIGHUP: reload_all,
    }
    running = asyncio.get_running_loop()
    for number, handler in handlers.items():
        running.add_signal_handler(number, handler)
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    stopped = asyncio.create_task(stop.wait())
    waiting: list[asyncio.Task[Any]] = [stopped, *tasks]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            loop.stop()
        # Observation may be interrupted. An action must not be; its own timeouts bound it.
        _, late = await asyncio.wait(tasks, timeout=max(timeout - CLOSING_SECONDS, 1.0))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()
    finally:
        stopped.cancel()
        for number in handlers:
            running.remove_signal_handler(number)
