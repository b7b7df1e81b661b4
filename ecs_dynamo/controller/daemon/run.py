"""Running the daemon until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from ecs_dynamo.aws.client import AwsOptions
from ecs_dynamo.config import Settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.http import serve_http
from ecs_dynamo.controller.daemon.loop import GraphLoop, _log
from ecs_dynamo.controller.reconcile.reconciler import open_reconciler
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.status import timestamp
from ecs_dynamo.controller.triggers.ecs_events import TaskEvents, following
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.model.snapshot import Notice


def _load(paths: Sequence[Path], environ: Mapping[str, str]) -> list[GraphFile]:
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
            f"{names.count(name)} of the files given declare a graph with this name",
            field="name",
            remedy=f"rename one of the graphs {name!r}",
        )
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise InputError(problems)
    return files


async def run_daemon(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    settings: Settings,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Run until SIGTERM or SIGINT. ``on_ready`` is told the address of the HTTP server.

    Raises InputError for files that are wrong at the start, and for a taken port.
    """
    files = _load(paths, environ)
    metrics, events = Metrics(), EventRing()
    started = time.time()
    async with AsyncExitStack() as stack:
        loops: list[GraphLoop] = []
        for file in files:
            reconciler = await stack.enter_async_context(open_reconciler(file.graph, settings))
            metrics.follow(reconciler.aws)
            loops.append(GraphLoop(file, reconciler, settings, metrics, events))

        queue = await stack.enter_async_context(_following_events(loops, settings))
        if queue is not None:
            metrics.follow_events(queue)

        def status() -> dict[str, Any]:
            return {
                "startedAt": timestamp(started),
                "graphs": [one.status() for one in loops],
                "eventQueue": queue.status() if queue is not None else None,
            }

        url = await stack.enter_async_context(
            serve_http(
                settings.http_host,
                settings.http_port,
                status=status,
                metrics=metrics.text,
                ready=lambda: {one.name: one.recent for one in loops},
            )
        )
        _log.info("started", graphs=[one.name for one in loops], url=url)
        on_ready(url)
        await _until_stopped(loops, settings.shutdown_timeout_seconds)
    _log.info("stopped")


@asynccontextmanager
async def _following_events(
    loops: Sequence[GraphLoop], settings: Settings
) -> AsyncIterator[TaskEvents | None]:
    """ECS's events wake the graphs whose clusters they are about; None without a queue."""
    if settings.event_queue_url is None:
        yield None
        return

    def wake(clusters: set[str] | None, notices: Mapping[str, Notice]) -> None:
        for one in loops:
            one.notice(notices)
            names = {name.rsplit("/", 1)[-1] for name in one.file.graph.clusters}
            if clusters is None or clusters & names:
                one.wake()

    def on_problem(problem: str | None) -> None:
        for one in loops:
            one.note(
                "events",
                f"ECS's events are not read: {problem}" if problem else "ECS's events are read",
                warning=problem is not None,
            )

    options = AwsOptions(
        endpoint_url=settings.endpoint_url,
        profile=settings.profile,
        region=settings.region or loops[0].file.graph.region,
    )
    async with following(options, settings.event_queue_url, wake, on_problem) as events:
        yield events


async def _until_stopped(loops: Sequence[GraphLoop], timeout: float) -> None:
    """Own the loops; on a signal let them finish the action in hand within ``timeout``."""
    stop = asyncio.Event()

    def reload_all() -> None:
        for one in loops:
            one.reload()

    handlers: dict[int, Callable[[], None]] = {
        signal.SIGTERM: stop.set,
        signal.SIGINT: stop.set,
        signal.SIGHUP: reload_all,
    }
    running = asyncio.get_running_loop()
    for number, handler in handlers.items():
        running.add_signal_handler(number, handler)
    tasks = [asyncio.create_task(one.run(), name=one.name) for one in loops]
    stopped = asyncio.create_task(stop.wait())
    waiting: list[Awaitable[object]] = [stopped, *tasks]
    try:
        await asyncio.wait(
            [asyncio.ensure_future(w) for w in waiting], return_when=asyncio.FIRST_COMPLETED
        )
        for one in loops:
            one.stop()
        # What observes may be cut off; only an action must not be, and it is bounded by its
        # own time-outs: a margin is kept for closing.
        _, late = await asyncio.wait(tasks, timeout=max(timeout - 3.0, 1.0))
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
