"""The order of a campaign, its stages, and its end; what a fault is held against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.chaos import campaign
from benchmarks.chaos.account import Account
from benchmarks.chaos.campaign import Row, rules_of, run_campaign
from benchmarks.chaos.faults import DYNAMO_LEASE, FAULTS, Fault
from benchmarks.chaos.graph import LEASE_SECONDS
from benchmarks.chaos.stage import StageError

SERVED = Account(sent=10, failed=0, retried=0, streamed=5, gap=0.3, slowest=1.0)
FEW = [FAULTS[n] for n in ("none", "decode killed", "etcd replaced", "clock jump", "API error")]


class Stage:
    """A stage in name only."""

    victims: frozenset[str] = frozenset()

    def __init__(self, lease: int, *, settles: bool) -> None:
        self.lease, self.settles = lease, settles
        self.faults: list[str] = []

    async def restore(self) -> None:
        """Nothing to restore."""


class World:
    """Stages and faults without processes. ``breaks`` leaves its stage unsettled."""

    def __init__(self, breaks: str = "") -> None:
        self.breaks = breaks
        self.stages: list[Stage] = []
        self.luck: dict[str, float] = {}

    @asynccontextmanager
    async def staged(self, _: Path, scratch: Path, *, lease_seconds: int) -> AsyncIterator[Stage]:
        (scratch / "daemon-1.log").write_text("what happened")
        self.stages.append(Stage(lease_seconds, settles=True))
        yield self.stages[-1]

    async def run_fault(self, stage: Stage, fault: Fault, rng: Random) -> Row:
        stage.faults.append(fault.name)
        self.luck[fault.name] = rng.random()
        if fault.name != self.breaks:
            return Row(fault, SERVED, 1.0)
        stage.settles = False
        return Row(fault, SERVED, None, problem="it rolls")

    async def settle(self, stage: Stage, _: float) -> None:
        if not stage.settles:
            raise StageError("it rolls")

    @property
    def order(self) -> list[str]:
        return [name for stage in self.stages for name in stage.faults]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("staged", "run_fault", "settle"):
        monkeypatch.setattr(campaign, name, getattr(made, name))
    return made


async def run(world: World, seed: int = 1, **more: Any) -> campaign.Result:
    world.stages.clear()
    return await run_campaign(FEW, seed, more.pop("seconds", 60.0), Path("example"), **more)


async def test_a_seed_gives_the_order_and_the_luck_of_each_fault(world: World) -> None:
    orders, lucks = [], []
    for seed in (1, 1, 2, 3):
        assert (await run(world, seed)).fine
        assert sorted(world.order) == sorted(fault.name for fault in FEW)
        orders.append(world.order)
        lucks.append(dict(world.luck))
    assert orders[0] == orders[1]
    assert lucks[0] == lucks[1]
    assert len({tuple(order) for order in orders}) > 1
    assert len({luck["none"] for luck in lucks}) == 3


async def test_each_lease_has_a_stage_of_its_own(world: World) -> None:
    await run(world)
    assert [stage.lease for stage in world.stages] == [LEASE_SECONDS, DYNAMO_LEASE]
    assert world.stages[1].faults == ["etcd replaced"]


async def test_a_stage_that_is_broken_is_replaced_and_its_logs_are_kept(
    world: World, tmp_path: Path
) -> None:
    world.breaks = "clock jump"
    result = await run(world, logs=tmp_path / "logs")
    assert not result.fine
    assert len(result.rows) == len(FEW)
    broken = next(s for s in world.stages if not s.settles)
    assert broken.faults[-1] == "clock jump"
    kept = list((tmp_path / "logs").rglob("*.log"))
    assert [p.read_text() for p in kept] == ["what happened"]


async def test_what_there_is_no_time_for_is_told(world: World) -> None:
    result = await run(world, seconds=0.0)
    assert not result.rows
    assert {f.name for f in result.left_out} == {f.name for f in FEW}
    assert not result.fine


def test_a_fault_is_held_against_what_is_declared() -> None:
    stage: Any = Stage(LEASE_SECONDS, settles=True)
    rules = rules_of(stage, FAULTS["none"])
    assert rules.floors == {"local-frontend": 2, "local-decode": 2, "local-prefill": 2}
    assert rules.counts["local-decode"] == (2, 2)
    assert rules.counts["local-prefill"] == (2, 3)
    rules = rules_of(stage, FAULTS["GPU shortage"])
    assert rules.floors == {"local-frontend": 2, "local-decode": 1, "local-prefill": 1}
