"""Means and confidence intervals over seeds, and the comparison of rows on the same seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from benchmarks.scaling.cases import GOAL, MAIN_COLD_START, PLAIN
from benchmarks.scaling.rows import FIXED, OWN
from benchmarks.scaling.store import Job, Measured
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.traces.families import TRAINING

STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14)
"""Two-sided 95 % quantiles of Student's t distribution with 1, 2, ... degrees of freedom."""


def half_width(values: Sequence[float]) -> float | None:
    """Return half of the 95 % confidence interval of the mean; None for fewer than three values."""
    if len(values) < 3:
        return None
    quantile = STUDENT[len(values) - 2] if len(values) - 2 < len(STUDENT) else 1.96
    return quantile * stdev(values) / math.sqrt(len(values))


@dataclass(frozen=True, slots=True)
class Cell:
    """The runs of one row in one scenario, by the number of their seed."""

    row: str
    runs: Mapping[int, Measured]

    def mean(self, column: str) -> float:
        return fmean(getattr(run, column) for run in self.runs.values())

    def spread(self, column: str) -> float | None:
        """Return half of the 95 % interval of the mean."""
        return half_width([getattr(run, column) for run in self.runs.values()])

    @property
    def attained(self) -> float:
        return self.mean("attained")

    @property
    def hours(self) -> float:
        return self.mean("hours")

    @property
    def goodput(self) -> float:
        """Requests within the targets of TTFT and inter-token latency per GPU hour."""
        return self.mean("goodput")

    @property
    def meets(self) -> bool:
        return self.attained >= GOAL

    @property
    def policy(self) -> str:
        return self.row.partition(" ")[0]

    def on(self, numbers: Iterable[int]) -> Cell:
        """Return the same row on some of its seeds."""
        return Cell(self.row, {n: self.runs[n] for n in numbers if n in self.runs})


def relative_hours(cell: Cell, reference: Cell) -> float | None:
    """Return the ratio of the GPU hours on the seeds that both have; None if there are none."""
    both = cell.runs.keys() & reference.runs.keys()
    return cell.on(both).hours / reference.on(both).hours if both else None


@dataclass(frozen=True, slots=True)
class Scenario:
    """All rows of one shape with one cold start and one option of the fleet."""

    shape: str
    cold_start: float
    option: str
    cells: Mapping[str, Cell]

    def get(self, row: str) -> Cell | None:
        return self.cells.get(row)

    @property
    def slo(self) -> Cell:
        return self.cells["slo"]

    @property
    def peers(self) -> list[Cell]:
        """Peers with their defaults and with the settings chosen on training traces."""
        return [cell for cell in self.cells.values() if cell.policy in PEERS]

    @property
    def default_peers(self) -> list[Cell]:
        return [cell for cell in self.peers if cell.row in PEERS]

    @property
    def tuned_peers(self) -> list[Cell]:
        """The peers as tuned; those whose defaults were best have no other row."""
        tuned = {cell.policy: cell for cell in self.peers if cell.row not in PEERS}
        return [tuned.get(cell.policy, cell) for cell in self.default_peers]

    def frontier(self, policy: str) -> list[Cell]:
        """Return all settings of one of the product's policies."""
        return [cell for cell in self.cells.values() if cell.policy == policy and policy in OWN]

    @property
    def bound(self) -> Cell | None:
        """A lower bound on the cost of every schedule that meets the goal."""
        return self.cells.get("bound")

    @property
    def schedule(self) -> Cell | None:
        """The cheapest schedule that was found with knowledge of all arrivals.

        It may be a fixed fleet.
        """
        return best([self.cells[row] for row in ("clairvoyant", FIXED) if row in self.cells])

    @property
    def fixed(self) -> Cell | None:
        """The cheapest fixed fleet that meets the goal, or the best split of a limited one."""
        return self.cells.get(FIXED)


def best(cells: Sequence[Cell]) -> Cell | None:
    """Return the cheapest cell that meets the goal, or that with the highest attainment.

    None without cells.
    """
    meeting = [cell for cell in cells if cell.meets]
    if meeting:
        return min(meeting, key=lambda cell: cell.hours)
    return max(cells, key=lambda cell: (cell.attained, -cell.hours), default=None)


def scenarios(results: Iterable[tuple[Job, Measured]]) -> list[Scenario]:
    """Return the reported scenarios in the order of the stored results."""
    runs: dict[tuple[str, float, str], dict[str, dict[int, Measured]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for job, measured in results:
        case = job.case
        if case.family != TRAINING.name:
            runs[case.shape, case.cold_start, case.option][job.row][case.number] = measured
    return [
        Scenario(*key, {row: Cell(row, numbers) for row, numbers in rows.items()})
        for key, rows in runs.items()
        if "slo" in rows
    ]


def plain(
    every: Sequence[Scenario], cold_start: float = MAIN_COLD_START, order: Sequence[str] = ()
) -> list[Scenario]:
    """Return the scenarios of the unlimited fleet with one cold start, in the order of shapes."""
    chosen = [s for s in every if s.option == PLAIN and s.cold_start == cold_start]
    rank = {shape: number for number, shape in enumerate(order)}
    return sorted(chosen, key=lambda s: rank.get(s.shape, len(rank)))
