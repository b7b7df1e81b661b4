"""What a graph's loop does between passes: wait to be woken, and ask the replicas themselves.

Passes are far apart, as they cost calls of AWS. A replica that hangs raises no event while its
discovery lease lasts, so it is asked in between, which costs AWS nothing; when one is silent, the
next pass begins at once and judges it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)

VIGIL_SECONDS = 5.0
"""Between two rounds. With the time-outs of a round and of the pass after it (3 s each, and one for
the connection), a replica that hangs is told of within 30 s."""


async def _until_set(wake: asyncio.Event) -> None:
    await wake.wait()


async def _until_silent(any_silent: Callable[[], Awaitable[bool]], pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        try:
            if await any_silent():
                return
        except Exception:
            # Whatever it is, the next pass meets it too, and tells of it.
            _log.exception("replicas not asked between passes")
            return


async def until_news(
    wake: asyncio.Event,
    any_silent: Callable[[], Awaitable[bool]] | None,
    pause: float = VIGIL_SECONDS,
) -> None:
    """Wait until ``wake`` is set, or a replica is silent. Without ``any_silent`` nobody is asked.

    Owns all that it starts: nothing of it runs on when it returns, or is cancelled.
    """
    waiting = [asyncio.create_task(_until_set(wake))]
    if any_silent is not None:
        waiting.append(asyncio.create_task(_until_silent(any_silent, pause)))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
