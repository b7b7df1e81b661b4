"""Run many calls concurrently, with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def map_concurrently(
    function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int
) -> list[R]:
    """Return ``function`` of each item in order; at most ``limit`` calls run at a time.

    The first exception of a call is raised, as by `asyncio.gather`.
    """
    gate = asyncio.Semaphore(limit)

    async def call(item: T) -> R:
        async with gate:
            return await function(item)

    return await asyncio.gather(*(call(item) for item in items))
