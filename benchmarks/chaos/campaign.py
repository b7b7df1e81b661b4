"""The campaign: faults in a seeded order, each under steady load, each measured and judged."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.chaos.account import Account, Settling, account, good_since
from benchmarks.chaos.faults import Fault
from benchmarks.chaos.graph import COMPONENTS, EXTRA, MOST_PREFILL, REPLICAS, service_of
from benchmarks.chaos.invariants import Rules
from benchmarks.chaos.load import Load
from benchmarks.chaos.stage import Stage, StageError, keep_logs, settle, staged

SUCCESSES = 10
"""Requests in a row that have to be served before a fault counts as over."""
QUIET_SECONDS = 3.0
"""How long the graph has to stay as declared, without a write, to count as recovered."""
WARM_SECONDS = 20.0
RESTORE_SECONDS = 60.0
"""A stage that is not as declared so long after a fault is replaced."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one fault has cost. ``recovery`` is the seconds from its beginning until the graph was
    as declared for good; None where that was not within its deadline, and ``problem`` tells why."""

    fault: Fault
    account: Account
    recovery: float | None
    violations: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def fine(self) -> bool:
        """Recovered in time, every invariant held, and no request lost that need not be."""
        lost = self.account.failed > 0 and self.fault.survivable
        return self.recovery is not None and not self.violations and not lost


@dataclass(slots=True)
class Result:
    """A whole campaign."""

    seed: int
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    left_out: list[Fault] = field(default_factory=list)
    """What there was no time for."""

    @property
    def fine(self) -> bool:
        return all(row.fine for row in self.rows) and not self.left_out


def rules_of(stage: Stage, fault: Fault) -> Rules:
    """What the stage is held against while ``fault`` is made and repaired."""
    floors = {service_of(n): fault.floors.get(n, REPLICAS[n]) for n in ("frontend", *_WORKERS)}
    counts = {service_of(n): (REPLICAS[n], REPLICAS[n]) for n in COMPONENTS}
    counts[service_of("prefill")] = (REPLICAS["prefill"], MOST_PREFILL)
    counts[service_of(EXTRA)] = (0, 1)
    return Rules(floors, counts, stage.victims, fault.revisions)


_WORKERS = ("decode", "prefill")


async def run_fault(stage: Stage, fault: Fault, rng: Random, quiet: float = QUIET_SECONDS) -> Row:
    """One fault: load, the fault, and the way back, for at most its deadline. ``quiet``: for so
    many seconds the graph has to stay as declared, without a write."""
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
            stage.hit = time.monotonic()
            async with asyncio.timeout(fault.deadline):
                await fault.inject(stage, rng)
                recovery = await _recovered(stage, load, quiet) - stage.hit
        except TimeoutError:
            problem = await stage.unsettled() or "requests still failed, or writes went on"
        except Exception as error:  # Whatever it is, the faults that follow are still to be made.
            problem = f"{type(error).__name__}: {error}"
        ended = time.monotonic()
    if (foreign := stage.foreign_change()) is not None:
        stage.watch.violate(foreign)
    return Row(
        fault,
        account([*load.done, *stage.outcomes], began, ended),
        recovery,
        tuple(stage.watch.end()),
        problem,
    )


async def _warm(load: Load, began: float) -> None:
    """Wait until the load is served."""
    while not good_since(load.done, began, SUCCESSES):
        if time.monotonic() > began + WARM_SECONDS:
            raise StageError("the load was not served before the fault")
        await asyncio.sleep(0.1)


async def _recovered(stage: Stage, load: Load, quiet: float) -> float:
    """The moment since which the graph is as declared, its clients are served, and the daemon
    writes nothing."""
    settling = Settling(quiet)
    while True:
        now = time.monotonic()
        settled = await stage.unsettled() is None
        since = settling.since if settling.since is not None else now
        wrote = any(at > since for at, _ in stage.watch.writes)
        moment = settling.tell(now, settled and not wrote)
        if moment is not None and good_since(load.done, moment, SUCCESSES):
            return moment
        await asyncio.sleep(0.2)


async def run_campaign(
    faults: Sequence[Fault],
    seed: int,
    seconds: float,
    example: Path,
    logs: Path | None = None,
    tell: Callable[[Row], None] = lambda _: None,
) -> Result:
    """Make ``faults`` in an order that ``seed`` gives; none is begun after ``seconds``.

    A stage that did not become as declared again is replaced by another one. With ``logs`` given,
    the logs of a stage on which something went wrong are kept there.
    """
    started = time.monotonic()
    result = Result(seed)
    waiting = list(faults)
    Random(seed).shuffle(waiting)
    waiting.sort(key=lambda fault: fault.lease_seconds)
    while waiting and time.monotonic() - started < seconds:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            wrong = False
            lease = waiting[0].lease_seconds
            async with staged(example, Path(scratch), lease_seconds=lease) as stage:
                while (
                    waiting
                    and waiting[0].lease_seconds == lease
                    and time.monotonic() - started < seconds
                ):
                    fault = waiting.pop(0)
                    # Its own choices do not depend on which faults came before.
                    row = await run_fault(stage, fault, Random(f"{seed} {fault.name}"))
                    result.rows.append(row)
                    tell(row)
                    wrong = wrong or not row.fine
                    await stage.restore()
                    try:
                        await settle(stage, RESTORE_SECONDS)
                    except StageError:
                        break
            if wrong and logs is not None:
                keep_logs(Path(scratch), logs / f"until-{len(result.rows)}")
    result.left_out = waiting
    result.seconds = time.monotonic() - started
    return result
