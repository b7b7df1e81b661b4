"""Replicas are queried between passes, and no query outlives the wait."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.config import load_settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.loop import GraphLoop
from ecs_dynamo.controller.reconcile.reconciler import (
    Pass,
    Reconciler,
)
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.triggers.replica_watch import until_news
from tests.helpers.graph_loop import ROOT
from tests.helpers.passes import SimulatedPasses


class Rounds:
    """Replicas that fall silent after a number of rounds."""

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


async def test_replicas_are_queried_until_one_is_silent() -> None:
    rounds = Rounds(3)
    await wait(asyncio.Event(), rounds)
    assert rounds.asked == 4


async def test_a_wake_ends_the_wait_at_once_even_during_a_query() -> None:
    wake, asking = asyncio.Event(), asyncio.Event()

    async def endless() -> bool:
        asking.set()
        wake.set()
        await asyncio.Event().wait()
        return False

    await wait(wake, endless)
    assert asking.is_set()
    await wait(wake, None)


async def test_a_failing_query_is_logged_and_left_to_the_next_pass() -> None:
    rounds = Rounds(1, ZeroDivisionError("no such value"))
    with structlog.testing.capture_logs() as logs:
        await wait(asyncio.Event(), rounds)
    assert rounds.asked == 2
    assert [log["log_level"] for log in logs] == ["error"]


async def test_a_cancelled_wait_leaves_no_task_behind() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await until_news(asyncio.Event(), Rounds(1_000_000), 0.001)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_loop_starts_a_pass_when_a_replica_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between passes is an hour, and nothing else wakes the loop."""
    simulated = SimulatedPasses()
    done = simulated.run()
    folder = tmp_path / "graph"
    shutil.copytree(ROOT / "examples" / "local", folder, ignore=shutil.ignore_patterns("model"))
    file = GraphFile(folder / "ecs-dynamo.yaml", {})
    hour = {"ECS_DYNAMO_RESYNC_SECONDS": "3600", "ECS_DYNAMO_SIGNAL_SECONDS": "3600"}
    rounds, passes = Rounds(2), asyncio.Semaphore(0)

    async def run_pass(**_: object) -> Pass:
        passes.release()
        return done

    async def close() -> None:
        return None

    aws: Any = SimpleNamespace(calls={}, clock=ServerClock())  # No method is called.
    own = Reconciler(simulated.graph, aws, load_settings({}))
    monkeypatch.setattr(own, "run_pass", run_pass)
    monkeypatch.setattr(own, "any_silent", rounds)
    monkeypatch.setattr(
        "ecs_dynamo.controller.daemon.loop.until_news", partial(until_news, pause=0.001)
    )
    loop = GraphLoop(file, own, load_settings(hour), Metrics(), EventRing())
    loop._watches = SimpleNamespace(follow=lambda _: None, close=close)  # type: ignore[assignment] # a stand-in
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        await passes.acquire()
        await passes.acquire()
        assert rounds.asked >= 3
        loop.stop()
        await running
