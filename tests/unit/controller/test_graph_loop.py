"""A pass that raises or an unreadable file does not end the loop: the last valid file stays.

The reconciler, the planner and the loop are the daemon's own; only the observation is simulated.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from tests.helpers.graph_loop import ROOT, LoopRig


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopRig]:
    folder = tmp_path / "graph"
    shutil.copytree(ROOT / "examples" / "local", folder, ignore=shutil.ignore_patterns("model"))
    monkeypatch.setattr("ecs_dynamo.controller.daemon.loop.SETTLE_SECONDS", 0.0)
    loop_rig = LoopRig(folder, monkeypatch)
    loop_rig.edit(1)
    async with loop_rig:
        yield loop_rig


async def test_a_file_that_planning_fails_with_is_rejected_and_the_last_valid_one_stays(
    rig: LoopRig,
) -> None:
    with structlog.testing.capture_logs() as logs:
        await rig.passes()
        assert (rig.condition(), rig.loop.failure) == (None, None)
        rig.broken = {3}
        rig.edit(3)
        await rig.passes()
        # The previous file is in force and passes complete with it, but the daemon is not ready.
        assert rig.replicas == 1
        condition = rig.condition()
        assert condition is not None
        assert condition["reason"] == "PlanningRaised"
        assert "ZeroDivisionError: boom" in condition["message"]
        assert "boom" in rig.loop.status()["fileError"]
        assert rig.loop.status()["converged"] is False
        assert not rig.loop.is_fresh
        assert rig.gauge() == "1.0"
        assert sum(g.component("prefill").replicas == 3 for g in rig.planned) == 1
        # An unchanged file is not tried again, except on request (SIGHUP).
        rig.loop.reload()
        await rig.passes()
        assert sum(g.component("prefill").replicas == 3 for g in rig.planned) == 2
        assert rig.replicas == 1
        rig.edit(2)
        await rig.passes()
        assert rig.replicas == 2
        assert (rig.condition(), rig.loop.failure) == (None, None)
        assert rig.gauge() == "0.0"
        assert rig.loop.status()["fileError"] is None
    messages = [e["message"] for e in rig.loop.status()["events"]]
    assert any("PlanningRaised" in text for text in messages)
    assert sum("exc_info" in e for e in logs) <= 2


async def test_planning_that_always_fails_backs_off_and_is_reported_once(rig: LoopRig) -> None:
    rig.broken = {1}
    with structlog.testing.capture_logs() as logs:
        await rig.passes(6)
        condition = rig.condition()
    assert condition is not None
    assert "boom" in condition["message"]
    assert not rig.loop.is_fresh
    messages = [e["message"] for e in rig.loop.status()["events"] if "pass failed" in e["message"]]
    assert len(messages) == 1
    assert sum(bool(e.get("exc_info")) for e in logs) == 1
    rig.broken = set()
    await rig.passes()
    assert rig.condition() is None


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENAMETOOLONG, errno.EIO, errno.ELOOP])
async def test_an_unreadable_file_is_rejected(
    rig: LoopRig, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Tests may run as root, who may read everything: the system's errors are simulated."""
    await rig.passes()
    opened, stat = os.open, os.stat

    def refused(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).startswith(str(rig.path.parent)):
            raise OSError(code, os.strerror(code), str(path))
        return opened(path, *rest, **more)

    def no_stat(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).startswith(str(rig.path.parent)):
            raise OSError(code, os.strerror(code), str(path))
        return stat(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        patch.setattr(os, "stat", no_stat)
        rig.loop.reload()
        await rig.passes()
        assert os.strerror(code) in rig.loop.status()["fileError"]
        assert rig.replicas == 1
        assert rig.loop.failure is None
    rig.edit(2)
    await rig.passes()
    assert rig.loop.status()["fileError"] is None
    assert rig.replicas == 2


async def test_the_last_valid_file_stays_for_every_state_of_the_folder(rig: LoopRig) -> None:
    await rig.passes()
    folder, path = rig.path.parent, rig.path
    text = path.read_text()

    async def assert_rejected(words: str) -> None:
        rig.loop.reload()
        await rig.passes()
        assert words in (rig.loop.status()["fileError"] or "")
        assert rig.replicas == 1

    path.unlink()
    await assert_rejected("does not exist")
    path.mkdir()
    await assert_rejected("is a directory")
    path.rmdir()
    path.symlink_to(path)
    await assert_rejected("symbolic links")
    path.unlink()
    path.write_bytes(b"name: \xff\xfe")
    await assert_rejected("not UTF-8")
    path.write_text("[" * 100_000)
    await assert_rejected("")
    assert rig.loop.status()["fileError"]
    document = yaml.safe_load(text)
    document["components"][0]["taskDefinition"] = "t" * 5000
    path.write_text(yaml.safe_dump(document))
    await assert_rejected("File name too long")
    document["components"][0]["taskDefinition"] = "loop.json"
    (folder / "loop.json").symlink_to("loop.json")
    path.write_text(yaml.safe_dump(document))
    await assert_rejected("symbolic links")
    document["components"][0]["taskDefinition"] = "nul\0.json"
    path.write_text(yaml.safe_dump(document))
    await assert_rejected("nul")
    shutil.rmtree(folder)
    await assert_rejected("does not exist")
    folder.mkdir()
    path.write_text(text)
    shutil.copytree(
        ROOT / "examples" / "local",
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("model", "ecs-dynamo.yaml"),
    )
    await rig.passes()
    assert rig.loop.status()["fileError"] is None


async def test_an_unexpected_error_while_reading_rejects_the_file(
    rig: LoopRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.passes()

    def load(*_: Any) -> Any:
        raise RecursionError("too deep")

    with monkeypatch.context() as patch:
        patch.setattr("ecs_dynamo.controller.daemon.graph_file.load_graph", load)
        rig.loop.reload()
        await rig.passes()
        assert "RecursionError" in rig.loop.status()["fileError"]
    rig.loop.reload()
    await rig.passes()
    assert rig.loop.status()["fileError"] is None
