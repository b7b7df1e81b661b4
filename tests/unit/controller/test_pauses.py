"""The pauses of the daemon's loop, on a fake clock: back-off, intervals, and events in between."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecs_dynamo.config import Settings, load_settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.loop import SETTLE_SECONDS, GraphLoop
from ecs_dynamo.controller.daemon.pacing import pause_seconds
from ecs_dynamo.controller.reconcile.reconciler import POLL_SECONDS
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.discovery.credentials import NO_CREDENTIALS
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.plan import Wait
from ecs_dynamo.model.purposes import WaitPurpose
from tests.helpers.graph_loop import ROOT
from tests.helpers.passes import SimulatedPasses

SETTINGS = load_settings(
    {
        "ECS_DYNAMO_BACKOFF_MIN_SECONDS": "1",
        "ECS_DYNAMO_BACKOFF_MAX_SECONDS": "6",
        "ECS_DYNAMO_RESYNC_SECONDS": "30",
        "ECS_DYNAMO_SIGNAL_SECONDS": "10",
    }
)
CONVERGED, INCOMPLETE, WAITING, RAISES = "converged", "incomplete", "waiting", "raises"


def pause(
    failures: int = 0, *, converged: bool = True, has_scaling: bool = False, jitter: float = 1.0
) -> float:
    return pause_seconds(
        SETTINGS, failures, converged=converged, has_scaling=has_scaling, jitter=jitter
    )


def test_the_pause_after_a_good_pass_depends_on_the_graph() -> None:
    assert pause() == 30.0
    assert pause(has_scaling=True) == 10.0
    assert pause(converged=False) == POLL_SECONDS
    assert pause(converged=False, has_scaling=True) == POLL_SECONDS


def test_the_pause_doubles_with_every_failure_up_to_the_maximum() -> None:
    assert [pause(n) for n in range(1, 6)] == [1.0, 2.0, 4.0, 6.0, 6.0]
    assert pause(10_000) == 6.0
    # Neither scaling nor an unfinished plan shortens a back-off.
    assert pause(3, converged=False, has_scaling=True) == 4.0


def test_jitter_spreads_a_back_off_over_its_upper_half() -> None:
    assert (pause(3, jitter=0.0), pause(3, jitter=0.5)) == (2.0, 3.0)


class ScriptedReconciler:
    """A reconciler whose passes have given outcomes; the last one is repeated."""

    def __init__(self, outcomes: Iterable[str]) -> None:
        simulated = SimulatedPasses()
        converged = simulated.run()
        waits = (Wait("prefill", "waiting for a task", WaitPurpose.READINESS),)
        self.passes = {
            CONVERGED: converged,
            WAITING: replace(converged, plan=replace(converged.plan, waits=waits)),
            INCOMPLETE: simulated.run(frozen=True),
        }
        self.graph = simulated.graph
        self.outcomes = list(outcomes)
        self.started_at: list[float] = []
        self.aws = SimpleNamespace(calls={})
        self.credentials = SimpleNamespace(current=NO_CREDENTIALS)

    async def run_pass(self, **_: object) -> Any:
        self.started_at.append(asyncio.get_running_loop().time())
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome == RAISES:
            raise ZeroDivisionError("boom")
        return self.passes[outcome]

    async def any_silent(self) -> bool:
        return False

    def now(self) -> Now:
        return Now.at(0.0)

    def pauses(self) -> list[float]:
        """The seconds between two starts of passes."""
        return [
            round(after - before, 3)
            for before, after in zip(self.started_at, self.started_at[1:], strict=False)
        ]


@asynccontextmanager
async def running(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcomes: Iterable[str],
    settings: Settings = SETTINGS,
) -> AsyncIterator[tuple[GraphLoop, ScriptedReconciler]]:
    """A running loop without jitter, whose files are read without a thread."""
    path = folder / "graph"
    shutil.copytree(ROOT / "examples" / "local", path, ignore=shutil.ignore_patterns("model"))

    async def inline(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    async def nothing() -> None:
        return None

    monkeypatch.setattr("ecs_dynamo.controller.daemon.loop.random.random", lambda: 1.0)
    monkeypatch.setattr("ecs_dynamo.controller.daemon.loop.asyncio.to_thread", inline)
    reconciler = ScriptedReconciler(outcomes)
    file = GraphFile(path / "ecs-dynamo.yaml", {})
    stand_in: Any = reconciler
    loop = GraphLoop(file, stand_in, settings, Metrics(), EventRing())
    watches: Any = SimpleNamespace(follow=lambda _: None, close=nothing)
    loop._watches = watches
    task = asyncio.create_task(loop.run())
    try:
        yield loop, reconciler
    finally:
        loop.stop()
        await task


@pytest.mark.looptime
@pytest.mark.parametrize("failure", [RAISES, INCOMPLETE])
async def test_failing_passes_back_off_and_a_good_one_resets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    outcomes = [failure, failure, failure, failure, CONVERGED, failure, CONVERGED]
    async with running(tmp_path, monkeypatch, outcomes) as (_, reconciler):
        await asyncio.sleep(60)
        # The example has scaling: a converged graph is observed every 10 s.
        assert reconciler.pauses()[:8] == [1.0, 2.0, 4.0, 6.0, 10.0, 1.0, 10.0, 10.0]


@pytest.mark.looptime
async def test_a_graph_that_has_not_converged_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [WAITING, WAITING, CONVERGED]
    async with running(tmp_path, monkeypatch, outcomes) as (_, reconciler):
        await asyncio.sleep(15)
        assert reconciler.pauses() == [POLL_SECONDS, POLL_SECONDS, 10.0]


@pytest.mark.looptime
async def test_an_event_starts_a_pass_after_the_settling_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, [CONVERGED]) as (loop, reconciler):
        await asyncio.sleep(2)
        for _ in range(5):  # A burst is answered by one pass.
            loop.wake()
            await asyncio.sleep(SETTLE_SECONDS / 10)
        await asyncio.sleep(5)
        assert reconciler.pauses() == [2.0 + SETTLE_SECONDS]


@pytest.mark.looptime
async def test_events_do_not_end_a_back_off_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, [RAISES]) as (loop, reconciler):
        for _ in range(200):
            loop.wake()
            await asyncio.sleep(0.05)
        # 10 s of events: at most one pass per minimum back-off.
        assert 9 <= len(reconciler.started_at) <= 11
        assert min(reconciler.pauses()) >= 1.0


@pytest.mark.looptime
async def test_stopping_ends_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = asyncio.get_running_loop().time()
    async with running(tmp_path, monkeypatch, [CONVERGED]) as (_, reconciler):
        await asyncio.sleep(1)
    assert asyncio.get_running_loop().time() - started < 1.1
    assert len(reconciler.started_at) == 1


@pytest.mark.looptime
async def test_a_follower_runs_no_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        token, seconds_left = 0, 0.0

        async def acquire(self) -> bool:
            return False

        async def release(self) -> None:
            return None

    monkeypatch.setattr("ecs_dynamo.controller.daemon.loop.open_lease", lambda *_: Lost())
    async with running(tmp_path, monkeypatch, [CONVERGED]) as (loop, reconciler):
        await asyncio.sleep(120)
        assert (reconciler.started_at, loop.leads, loop.is_fresh) == ([], False, True)
