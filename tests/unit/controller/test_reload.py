"""Reloading: changed, broken and missing graph files, and the signals that the daemon handles."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from ecs_dynamo.controller.daemon import run
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from tests.helpers.graph_loop import ROOT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "graph"
    shutil.copytree(ROOT / "examples" / "local", folder, ignore=shutil.ignore_patterns("model"))
    return folder / "ecs-dynamo.yaml"


def edit(file: Path, **changes: Any) -> None:
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(document | changes))


def replicas(graph_file: GraphFile) -> int:
    return graph_file.graph.components[-1].replicas


def declare(file: Path, count: int) -> None:
    components = yaml.safe_load(file.read_text())["components"]
    components[-1] |= {"replicas": count}
    components[-1].pop("scaling", None)
    edit(file, components=components)


def test_an_unchanged_file_is_not_a_new_graph(file: Path) -> None:
    graph_file = GraphFile(file, {})
    assert not graph_file.changed()
    # SIGHUP reads it all the same.
    assert not graph_file.reload()
    assert graph_file.error is None
    file.touch()
    assert graph_file.changed()
    assert not graph_file.reload()
    assert not graph_file.changed()


def test_a_changed_file_is_a_new_graph(file: Path) -> None:
    graph_file = GraphFile(file, {})
    declare(file, 2)
    assert graph_file.changed()
    assert graph_file.reload()
    assert (replicas(graph_file), graph_file.error) == (2, None)


def test_a_changed_task_definition_is_a_new_graph(file: Path) -> None:
    graph_file = GraphFile(file, {})
    definition = file.parent / "taskdefs" / "prefill.json"
    definition.write_text(definition.read_text().replace('"cpu"', '"cpu" ', 1) + "\n")
    assert graph_file.changed()
    assert not graph_file.reload()  # Only white space changed.
    definition.write_text(definition.read_text().replace("vllm-runtime", "other-runtime"))
    assert graph_file.changed()
    assert graph_file.reload()


def test_a_broken_file_is_rejected_until_it_is_corrected(file: Path) -> None:
    graph_file = GraphFile(file, {})
    declare(file, 2)
    valid = file.read_text()
    file.write_text("components: [")
    with structlog.testing.capture_logs() as logs:
        assert not graph_file.reload()
    assert [log["log_level"] for log in logs] == ["error"]
    assert str(file) in (graph_file.error or "")
    assert replicas(graph_file) == 1
    # It is not read again before it changes, and its error stays visible.
    assert not graph_file.changed()
    assert graph_file.error is not None
    file.write_text(valid)
    assert graph_file.changed()
    assert graph_file.reload()
    assert replicas(graph_file) == 2
    assert not graph_file.error


def test_a_missing_file_is_rejected_until_it_returns(file: Path) -> None:
    graph_file = GraphFile(file, {})
    text = file.read_text()
    file.unlink()
    assert graph_file.changed()
    assert not graph_file.reload()
    assert "does not exist" in (graph_file.error or "")
    assert not graph_file.changed()
    file.write_text(text)
    assert graph_file.changed()
    assert not graph_file.reload()  # The same graph as before.
    assert graph_file.error is None


@pytest.mark.parametrize("changes", [{"name": "other"}, {"region": "eu-west-1"}])
def test_a_running_graph_keeps_its_name_and_region(file: Path, changes: dict[str, str]) -> None:
    graph_file = GraphFile(file, {})
    before = graph_file.graph
    edit(file, **changes)
    assert not graph_file.reload()
    assert "name or region" in (graph_file.error or "")
    assert graph_file.graph is before


def test_a_graph_that_planning_fails_with_is_rejected(file: Path) -> None:
    graph_file = GraphFile(file, {})
    good = graph_file.graph
    declare(file, 2)
    assert graph_file.reload()
    graph_file.reject("planning failed", good)
    assert (graph_file.graph, graph_file.unplannable) == (good, True)
    assert "planning failed" in (graph_file.error or "")
    assert not graph_file.changed()
    declare(file, 3)
    assert graph_file.reload()
    assert not graph_file.unplannable


class StubLoop:
    """A loop that records the requests that it receives."""

    name = "g"

    def __init__(self, *, hangs: bool = False, fails: bool = False) -> None:
        self.reloads = 0
        self.stopping = asyncio.Event()
        self.reloaded = asyncio.Event()
        self.cancelled = False
        self._hangs, self._fails = hangs, fails

    def reload(self) -> None:
        self.reloads += 1
        self.reloaded.set()

    def stop(self) -> None:
        self.stopping.set()

    async def run(self) -> None:
        if self._fails:
            raise ZeroDivisionError("boom")
        await self.stopping.wait()
        if self._hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise


async def start(*loops: StubLoop) -> asyncio.Task[None]:
    stand_ins: Any = loops
    task = asyncio.create_task(run._run_until_stopped(stand_ins, run.CLOSING_SECONDS + 1.0))
    await asyncio.sleep(0)
    return task


async def test_sighup_reloads_every_graph_and_sigterm_stops_them() -> None:
    loops = [StubLoop(), StubLoop()]
    async with asyncio.timeout(10):
        task = await start(*loops)
        os.kill(os.getpid(), signal.SIGHUP)
        for loop in loops:
            await loop.reloaded.wait()
        assert not task.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    assert [loop.reloads for loop in loops] == [1, 1]
    assert all(loop.stopping.is_set() for loop in loops)


async def test_a_loop_that_does_not_stop_is_cancelled_after_the_timeout() -> None:
    hanging, other = StubLoop(hangs=True), StubLoop()
    async with asyncio.timeout(10):
        task = await start(hanging, other)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    assert hanging.cancelled


async def test_a_loop_that_raises_stops_the_others_and_is_reported() -> None:
    other = StubLoop()
    async with asyncio.timeout(10):
        task = await start(StubLoop(fails=True), other)
        with pytest.raises(ZeroDivisionError):
            await task
    assert other.stopping.is_set()
