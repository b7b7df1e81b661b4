"""Waiting between passes: until the loop is woken, or a directly queried replica is silent.

Passes are infrequent because they cost AWS calls. A hung replica causes no event until its
discovery lease expires, so replicas are also queried between passes, without any AWS call. When one
does not answer, the next pass starts immediately and assesses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)

QUERY_INTERVAL_SECONDS = 5.0
"""Pause between two rounds of queries. With the timeouts of a round and of the next pass (3 s each,
and 1 s to connect), a hung replica is reported within 30 s."""


async def _until_silent(any_silent: Callable[[], Awaitable[bool]], pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        try:
            if await any_silent():
                return
        except Exception:
            # The next pass meets the same failure and reports it.
            _log.exception("failed to query the replicas between passes")
            return


async def until_news(
    wake: asyncio.Event,
    any_silent: Callable[[], Awaitable[bool]] | None,
    pause: float = QUERY_INTERVAL_SECONDS,
) -> None:
    """Wait until ``wake`` is set or a replica is silent. Without ``any_silent``, none is queried.

    No task that it started outlives it, even when it is cancelled.
    """
    waiting: list[asyncio.Task[object]] = [asyncio.create_task(wake.wait())]
    if any_silent is not None:
        waiting.append(asyncio.create_task(_until_silent(any_silent, pause)))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
