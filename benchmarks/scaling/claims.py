"""The claims of the document, computed from the stored results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.scaling.rows import ORACLE, QUEUE, SLO
from benchmarks.scaling.summary import Cell, Scenario, best, relative_hours

QUEUE_TOLERANCE = 0.02
"""Share by which slo may cost more than `queue` at equal attainment."""
ORACLE_TOLERANCE = 0.10
LIMITED_TOLERANCE = 0.10
LOWEST_COMPARED = 0.9
"""Settings that attain less are not compared: nobody would choose them."""


class Outcome(StrEnum):
    """How slo compares with the peers in a scenario."""

    CHEAPER = "meets the target and costs less than every peer that meets it"
    ONLY = "meets the target, no peer does"
    DEARER = "meets the target, but a peer meets it for less"
    MOST = "misses the target as every peer does, and attains the most"
    LESS = "misses the target as every peer does, and a peer attains more"
    MISSES = "misses the target, and a peer meets it"

    @property
    def meets(self) -> bool:
        return self in (Outcome.CHEAPER, Outcome.ONLY, Outcome.DEARER)

    @property
    def holds(self) -> bool:
        return self in (Outcome.CHEAPER, Outcome.ONLY, Outcome.MOST)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of slo with the best peer; ``hours`` is slo's cost relative to the peer's."""

    scenario: Scenario
    outcome: Outcome
    peer: Cell
    hours: float


def compare_with_peers(scenario: Scenario) -> Comparison | None:
    """Compare slo's defaults with the best of all peers, with defaults or tuned.

    None without results of peers.
    """
    slo, peer = scenario.slo, best(scenario.peers)
    if peer is None:
        return None
    hours = relative_hours(slo, peer) or 1.0
    if slo.meets:
        outcome = Outcome.ONLY
        if peer.meets:
            outcome = Outcome.CHEAPER if hours < 1 else Outcome.DEARER
    elif peer.meets:
        outcome = Outcome.MISSES
    else:
        outcome = Outcome.MOST if slo.attained >= peer.attained else Outcome.LESS
    return Comparison(scenario, outcome, peer, hours)


@dataclass(frozen=True, slots=True)
class EqualAttainment:
    """The setting of `queue` at which slo does worst, and slo's cheapest that attains as much.

    ``slo`` is None if no setting of slo attains as much. ``seeds`` is the number of seeds that are
    compared, and ``usual`` that of at least half of the settings: if it is larger, settings whose
    runs are incomplete narrow the comparison.
    """

    scenario: Scenario
    queue: Cell
    slo: Cell | None
    seeds: int
    usual: int

    @property
    def hours(self) -> float:
        """The cost of slo relative to that of `queue`; infinite if slo does not reach it."""
        return self.slo.hours / self.queue.hours if self.slo else float("inf")

    @property
    def is_narrowed(self) -> bool:
        """Whether most settings have more seeds than are compared."""
        return self.seeds < self.usual

    @property
    def holds(self) -> bool:
        return self.hours <= 1 + QUEUE_TOLERANCE


def shared_seeds(scenario: Scenario) -> set[int] | None:
    """Return the seeds that all settings of slo and `queue` have; None without such settings."""
    slo, queue = scenario.frontier(SLO), scenario.frontier(QUEUE)
    if len(slo) < 2 or len(queue) < 2:
        return None
    return set.intersection(*(set(cell.runs) for cell in slo + queue))


def compare_with_queue(scenario: Scenario) -> EqualAttainment | None:
    """Compare the settings of slo with those of `queue`, on the seeds that all of them have.

    None without settings to compare, and if no seed is common to all settings.
    """
    numbers = shared_seeds(scenario)
    if not numbers:
        return None
    slo, queue = scenario.frontier(SLO), scenario.frontier(QUEUE)
    usual = sorted(len(cell.runs) for cell in slo + queue)[(len(slo) + len(queue) - 1) // 2]
    slo, queue = [c.on(numbers) for c in slo], [c.on(numbers) for c in queue]
    compared = []
    for cell in queue:
        if cell.attained >= LOWEST_COMPARED:
            equal = [c for c in slo if c.attained >= cell.attained]
            cheapest = min(equal, key=lambda c: c.hours, default=None)
            compared.append(EqualAttainment(scenario, cell, cheapest, len(numbers), usual))
    return max(compared, key=lambda pair: pair.hours, default=None)


@dataclass(frozen=True, slots=True)
class Gap:
    """Costs relative to the best schedule: of sizes for the true load, and of slo.

    What lies between both is the error of the forecast. ``is_met``: the sizes for the true load
    meet the goal.
    """

    scenario: Scenario
    oracle: float
    slo: float
    is_met: bool

    @property
    def holds(self) -> bool:
        """Whether the true load suffices to meet the goal near the lowest cost."""
        return self.is_met and self.oracle <= 1 + ORACLE_TOLERANCE


def gap_to_schedule(scenario: Scenario) -> Gap | None:
    """Return how much more than the best schedule slo costs, with and without the true load."""
    schedule, oracle = scenario.schedule, scenario.get(ORACLE)
    if schedule is None or oracle is None:
        return None
    first, second = relative_hours(oracle, schedule), relative_hours(scenario.slo, schedule)
    return Gap(scenario, first, second, oracle.meets) if first and second else None


@dataclass(frozen=True, slots=True)
class LimitedFleet:
    """A fleet below its peak: slo with arbitration, and the best fixed split in hindsight."""

    scenario: Scenario
    split: Cell

    @property
    def attained(self) -> float:
        """The attainment of slo relative to that of the split, on the seeds that both have."""
        slo, split = self.scenario.slo.on(self.split.runs), self.split.on(self.scenario.slo.runs)
        return slo.attained / split.attained if split.attained else 1.0

    @property
    def holds(self) -> bool:
        return self.attained >= 1 - LIMITED_TOLERANCE


def limited_fleets(every: Sequence[Scenario], option: str) -> list[LimitedFleet]:
    """Return the comparisons in limited fleets, of rows that share seeds."""
    return [
        LimitedFleet(s, s.fixed)
        for s in every
        if s.option == option and s.fixed and s.fixed.runs.keys() & s.slo.runs.keys()
    ]


def below_bound(scenario: Scenario) -> list[str]:
    """Return the rows that meet the goal for less than the lower bound; there should be none."""
    bound = scenario.bound
    if bound is None:
        return []
    both = {row: cell.on(bound.runs) for row, cell in scenario.cells.items()}
    return [
        row
        for row, cell in both.items()
        if cell.runs and cell.meets and cell.hours < bound.on(cell.runs).hours * (1 - 1e-6)
    ]
