"""The order, the stages and the end of a campaign, and the rules during a fault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.chaos import campaign
from benchmarks.chaos.account import Account
from benchmarks.chaos.campaign import FaultResult, rules_of, run_campaign
from benchmarks.chaos.faults import DYNAMO_LEASE, FAULTS, Fault
from benchmarks.chaos.graph import LEASE_SECONDS
from benchmarks.chaos.stage import StageError

SERVED = Account(sent=10, failed=0, retried=0, streamed=5, gap=0.3, slowest=1.0)
FEW = [FAULTS[n] for n in ("none", "decode killed", "etcd replaced", "clock jump", "API error")]


class Stage:
    """A stage without processes."""

    victims: frozenset[str] = frozenset()

    def __init__(self, lease: int, *, settles: bool) -> None:
        self.lease, self.settles = lease, settles
        self.faults: list[str] = []

    async def restore(self) -> None:
        """Do nothing."""


class World:
    """Stages and faults without processes. The fault called ``breaks`` leaves a broken stage."""

    def __init__(self, breaks: str = "") -> None:
        self.breaks = breaks
        self.stages: list[Stage] = []
        self.random_values: dict[str, float] = {}

    @asynccontextmanager
    async def open_stage(
        self, _: Path, scratch: Path, *, lease_seconds: int
    ) -> AsyncIterator[Stage]:
        (scratch / "daemon-1.log").write_text("what happened")
        self.stages.append(Stage(lease_seconds, settles=True))
        yield self.stages[-1]

    async def run_fault(self, stage: Stage, fault: Fault, rng: Random) -> FaultResult:
        stage.faults.append(fault.name)
        self.random_values[fault.name] = rng.random()
        if fault.name != self.breaks:
            return FaultResult(fault, SERVED, 1.0)
        stage.settles = False
        return FaultResult(fault, SERVED, None, problem="rollout in progress")

    async def wait_until_settled(self, stage: Stage, _: float) -> None:
        if not stage.settles:
            raise StageError("rollout in progress")

    @property
    def order(self) -> list[str]:
        return [name for stage in self.stages for name in stage.faults]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fake = World()
    for name in ("open_stage", "run_fault", "wait_until_settled"):
        monkeypatch.setattr(campaign, name, getattr(fake, name))
    return fake


async def run(
    world: World, seed: int = 1, seconds: float = 60.0, logs: Path | None = None
) -> campaign.CampaignResult:
    world.stages.clear()
    return await run_campaign(FEW, seed, seconds, Path("example"), logs)


async def test_the_seed_determines_the_order_and_the_random_values_of_each_fault(
    world: World,
) -> None:
    orders, values = [], []
    for seed in (1, 1, 2, 3):
        assert (await run(world, seed)).passed
        assert sorted(world.order) == sorted(fault.name for fault in FEW)
        orders.append(world.order)
        values.append(dict(world.random_values))
    assert orders[0] == orders[1]
    assert values[0] == values[1]
    assert len({tuple(order) for order in orders}) > 1
    assert len({by_fault["none"] for by_fault in values}) == 3


async def test_each_lease_has_its_own_stage(world: World) -> None:
    await run(world)
    assert [stage.lease for stage in world.stages] == [LEASE_SECONDS, DYNAMO_LEASE]
    assert world.stages[1].faults == ["etcd replaced"]


async def test_a_broken_stage_is_replaced_and_its_logs_are_kept(
    world: World, tmp_path: Path
) -> None:
    world.breaks = "clock jump"
    result = await run(world, logs=tmp_path / "logs")
    assert not result.passed
    assert len(result.results) == len(FEW)
    broken = next(s for s in world.stages if not s.settles)
    assert broken.faults[-1] == "clock jump"
    logs = list((tmp_path / "logs").rglob("*.log"))
    assert [p.read_text() for p in logs] == ["what happened"]


async def test_faults_that_were_not_run_for_lack_of_time_are_reported(world: World) -> None:
    result = await run(world, seconds=0.0)
    assert not result.results
    assert {f.name for f in result.not_run} == {f.name for f in FEW}
    assert not result.passed


def test_the_rules_during_a_fault_follow_the_declaration() -> None:
    stage: Any = Stage(LEASE_SECONDS, settles=True)
    rules = rules_of(stage, FAULTS["none"])
    assert rules.floors == {"local-frontend": 2, "local-decode": 2, "local-prefill": 2}
    assert rules.counts["local-decode"] == (2, 2)
    assert rules.counts["local-prefill"] == (2, 3)
    rules = rules_of(stage, FAULTS["GPU shortage"])
    assert rules.floors == {"local-frontend": 2, "local-decode": 1, "local-prefill": 1}
