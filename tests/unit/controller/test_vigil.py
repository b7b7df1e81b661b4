"""Between passes the replicas are asked, and nothing that asks them outlives the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from ecs_dynamo.controller.vigil import until_news


class Rounds:
    """Replicas that fall silent after some rounds."""

    def __init__(self, well: int, error: Exception | None = None) -> None:
        self.asked = 0
        self._well = well
        self._error = error

    async def __call__(self) -> bool:
        self.asked += 1
        if self.asked <= self._well:
            return False
        if self._error is not None:
            raise self._error
        return True


async def wait(
    wake: asyncio.Event, any_silent: Callable[[], Awaitable[bool]] | None, pause: float = 0.001
) -> None:
    async with asyncio.timeout(10):
        await until_news(wake, any_silent, pause)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_replicas_are_asked_until_one_is_silent() -> None:
    rounds = Rounds(3)
    await wait(asyncio.Event(), rounds)
    assert rounds.asked == 4


async def test_being_woken_ends_it_at_once_also_while_somebody_is_asked() -> None:
    wake, asking = asyncio.Event(), asyncio.Event()

    async def endless() -> bool:
        asking.set()
        wake.set()
        await asyncio.Event().wait()
        return False

    await wait(wake, endless)
    assert asking.is_set()
    await wait(wake, None)


async def test_what_fails_is_logged_and_left_to_the_next_pass() -> None:
    rounds = Rounds(1, ZeroDivisionError("no such luck"))
    with structlog.testing.capture_logs() as logs:
        await wait(asyncio.Event(), rounds)
    assert rounds.asked == 2
    assert [log["log_level"] for log in logs] == ["error"]


async def test_a_wait_that_is_cut_off_leaves_nothing_behind() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await until_news(asyncio.Event(), Rounds(1_000_000), 0.001)
    assert asyncio.all_tasks() == {asyncio.current_task()}
