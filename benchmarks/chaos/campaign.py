"""The campaign: faults in a seeded order, each under steady load, measured and checked."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.chaos.account import Account, StableSince, account, served_since
from benchmarks.chaos.faults import Fault
from benchmarks.chaos.graph import COMPONENTS, EXTRA, MAX_PREFILL, REPLICAS, WORKERS, service_of
from benchmarks.chaos.invariants import Rules
from benchmarks.chaos.load import Load
from benchmarks.chaos.set_up import keep_logs, open_stage
from benchmarks.chaos.stage import Stage, StageError, wait_until_settled

SUCCESSES = 10
"""Successive requests that must be served before a fault counts as over."""
QUIET_SECONDS = 3.0
"""How long the graph must stay as declared, without a write, to count as recovered."""
WARM_SECONDS = 20.0
RESTORE_SECONDS = 60.0
"""A stage that is not as declared this long after a fault is replaced."""


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The cost of one fault.

    ``recovery`` is the time in seconds from the start of the fault until the graph was stably as
    declared. It is None if that took longer than the deadline; ``problem`` then explains why.
    """

    fault: Fault
    account: Account
    recovery: float | None
    violations: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the graph recovered in time, without violations and avoidable lost requests."""
        lost = self.account.failed > 0 and self.fault.survivable
        return self.recovery is not None and not self.violations and not lost


@dataclass(slots=True)
class CampaignResult:
    """The results of a whole campaign. ``not_run`` holds the faults for which time was lacking."""

    seed: int
    seconds: float = 0.0
    results: list[FaultResult] = field(default_factory=list)
    not_run: list[Fault] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results) and not self.not_run


def rules_of(stage: Stage, fault: Fault) -> Rules:
    """Return the rules for the stage from the start of ``fault`` until it has recovered."""
    floors = {service_of(n): fault.floors.get(n, REPLICAS[n]) for n in ("frontend", *WORKERS)}
    counts = {service_of(n): (REPLICAS[n], REPLICAS[n]) for n in COMPONENTS}
    counts[service_of("prefill")] = (REPLICAS["prefill"], MAX_PREFILL)
    counts[service_of(EXTRA)] = (0, 1)
    return Rules(floors, counts, stage.victims, fault.revisions)


async def run_fault(
    stage: Stage, fault: Fault, rng: Random, quiet: float = QUIET_SECONDS
) -> FaultResult:
    """Inject one fault under load and wait for the recovery, for at most the fault's deadline.

    The graph must stay as declared for ``quiet`` seconds, without a write.
    """
    stage.victims.clear()
    stage.outcomes.clear()
    stage.watch.begin(rules_of(stage, fault))
    load = Load(stage.watch.rotation)
    recovery: float | None = None
    problem: str | None = None
    async with load.running():
        began = time.monotonic()
        try:
            await _warm(load, began)
            stage.fault_began = time.monotonic()
            async with asyncio.timeout(fault.deadline):
                await fault.inject(stage, rng)
                recovery = await _recovered(stage, load, quiet) - stage.fault_began
        except TimeoutError:
            problem = await stage.unsettled_reason() or "requests still failed, or writes continued"
        except Exception as error:  # Any error ends this fault only; the others still run.
            problem = f"{type(error).__name__}: {error}"
        ended = time.monotonic()
    if (foreign := stage.foreign_change()) is not None:
        stage.watch.violate(foreign)
    return FaultResult(
        fault,
        account([*load.done, *stage.outcomes], began, ended),
        recovery,
        tuple(stage.watch.end()),
        problem,
    )


async def _warm(load: Load, began: float) -> None:
    """Wait until the load is served."""
    while not served_since(load.done, began, SUCCESSES):
        if time.monotonic() > began + WARM_SECONDS:
            raise StageError("the load was not served before the fault")
        await asyncio.sleep(0.1)


async def _recovered(stage: Stage, load: Load, quiet: float) -> float:
    """Wait for the recovery and return when it began.

    From that moment on the graph is as declared, its clients are served, and the daemon writes
    nothing.
    """
    stable = StableSince(quiet)
    while True:
        now = time.monotonic()
        settled = await stage.unsettled_reason() is None
        since = stable.since if stable.since is not None else now
        wrote = any(at > since for at, _ in stage.watch.writes)
        moment = stable.update(now, holds=settled and not wrote)
        if moment is not None and served_since(load.done, moment, SUCCESSES):
            return moment
        await asyncio.sleep(0.2)


async def run_campaign(
    faults: Sequence[Fault],
    seed: int,
    seconds: float,
    example: Path,
    logs: Path | None = None,
    report: Callable[[FaultResult], None] = lambda _: None,
) -> CampaignResult:
    """Inject ``faults`` in an order that depends on ``seed``; none begins after ``seconds``.

    A stage that does not become as declared again is replaced. The logs of a stage with a failure
    are kept in the folder ``logs``, if there is one. ``report`` is called after each fault.
    """
    started = time.monotonic()
    result = CampaignResult(seed)
    waiting = list(faults)
    Random(seed).shuffle(waiting)
    waiting.sort(key=lambda fault: fault.lease_seconds)
    while waiting and time.monotonic() - started < seconds:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            failed = False
            lease = waiting[0].lease_seconds
            async with open_stage(example, Path(scratch), lease_seconds=lease) as stage:
                while (
                    waiting
                    and waiting[0].lease_seconds == lease
                    and time.monotonic() - started < seconds
                ):
                    fault = waiting.pop(0)
                    # The fault's random choices do not depend on the faults before it.
                    row = await run_fault(stage, fault, Random(f"{seed} {fault.name}"))
                    result.results.append(row)
                    report(row)
                    failed = failed or not row.passed
                    await stage.restore()
                    try:
                        await wait_until_settled(stage, RESTORE_SECONDS)
                    except StageError:
                        break
            if failed and logs is not None:
                keep_logs(Path(scratch), logs / f"until-{len(result.results)}")
    result.not_run = waiting
    result.seconds = time.monotonic() - started
    return result
