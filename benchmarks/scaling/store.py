"""The stored results of the benchmark, by case, policy, settings and seed.

The file is written after each group of jobs, so that an interrupted benchmark continues. Results
depend on code: a result is used only while the sources that it depends on are unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scaling.cases import Case

ROOT = Path(__file__).parents[2]
SOURCES: Mapping[str, tuple[str, ...]] = {
    "fleet": (
        "benchmarks/scaling/cases.py",
        "benchmarks/scaling/rows.py",
        "ecs_dynamo/planning/scaling/erlang_c.py",
        "ecs_dynamo/simulate/compare.py",
        "ecs_dynamo/simulate/fleet/*.py",
        "ecs_dynamo/simulate/result.py",
        "ecs_dynamo/simulate/run.py",
        "ecs_dynamo/simulate/traces/**/*.py",
    ),
    "policies": (
        "ecs_dynamo/model/limits.py",
        "ecs_dynamo/model/memory/scaling.py",
        "ecs_dynamo/model/memory/zero.py",
        "ecs_dynamo/model/spec/scaling.py",
        "ecs_dynamo/model/spec/schedule.py",
        "ecs_dynamo/planning/scaling/**/*.py",
        "ecs_dynamo/simulate/arbitration.py",
        "ecs_dynamo/simulate/scalers.py",
    ),
    "peers": ("ecs_dynamo/simulate/peers/*.py",),
    "references": (
        "ecs_dynamo/simulate/optimum/*.py",
        "ecs_dynamo/simulate/peers/reference.py",
    ),
}
"""The sources that the results of each kind of policy depend on, besides those of the fleet.

The fleet's include the cases, the initial fleet (sized by Erlang C) and the columns of a result.
"""

KINDS: Mapping[str, str] = {
    **dict.fromkeys(("slo", "queue", "slo-alone"), "policies"),
    **dict.fromkeys(("oracle", "fixed", "clairvoyant", "bound"), "references"),
}
"""The kinds of policies; all others are peers."""
PARTS = ("policies", "references", "peers")


def kind_of(policy: str) -> str:
    """Return the kind of a policy."""
    return KINDS.get(policy, "peers")


class Measured(NamedTuple):
    """The outcome of one run. Times are seconds.

    ``attained`` is the share of requests within the queue target, and ``good`` that of requests
    within the targets of TTFT and inter-token latency too; ``goodput`` is their number per GPU
    hour. ``billed4`` and ``billed8`` are GPU hours of whole instances with 4 and 8 GPUs,
    ``dollars`` is the price with instances of one GPU. ``seconds`` is the time that the run took.
    """

    attained: float
    good: float
    goodput: float
    queue_p99: float
    ttft_p99: float
    hours: float
    billed4: float
    billed8: float
    dollars: float
    launches: float
    seconds: float


@dataclass(frozen=True, slots=True, order=True)
class Job:
    """One run: a policy with its settings ("" is the default) in a case."""

    case: Case
    policy: str
    settings: str = ""

    @property
    def row(self) -> str:
        """The policy with its settings."""
        return f"{self.policy} {self.settings}".rstrip()

    @property
    def path(self) -> tuple[str, ...]:
        """The keys in the stored document, without the seed."""
        case = self.case
        return case.family, case.shape, case.option, f"{case.cold_start:g}", self.row


def fingerprint(policy: str) -> str:
    """Return a hash of the sources that the results of ``policy`` depend on."""
    digest = hashlib.sha256()
    for pattern in (*SOURCES["fleet"], *SOURCES[kind_of(policy)]):
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Store:
    """Results in memory and in a file.

    ``is_foreign``: the file has another format, as earlier versions of the benchmark wrote it. Its
    results are not read.
    """

    def __init__(self, path: Path) -> None:
        self.is_foreign = False
        self._path = path
        self._results: dict[Job, Measured] = {}
        self._codes: dict[str, str] = {}
        if path.exists():
            self._read(json.loads(path.read_text()))

    def __contains__(self, job: Job) -> bool:
        return job in self._results

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[tuple[Job, Measured]]:
        return iter(self._results.items())

    def add(self, job: Job, measured: Measured) -> None:
        self._results[job] = measured

    def forget_outdated(self, policies: Iterable[str]) -> int:
        """Drop the results that other code has produced. Return their number."""
        current = {policy: fingerprint(policy) for policy in policies}
        kept = {
            job: measured
            for job, measured in self._results.items()
            if self._codes.get(job.policy) == current.get(job.policy)
        }
        dropped = len(self._results) - len(kept)
        self._results, self._codes = kept, current
        return dropped

    def _read(self, document: Mapping[str, Any]) -> None:
        if document.get("columns") != list(Measured._fields):
            self.is_foreign = True
            return
        self._codes = document.get("code", {})
        for family, shapes in document.get("results", {}).items():
            for shape, options in shapes.items():
                for option, colds in options.items():
                    for cold, rows in colds.items():
                        for row, numbers in rows.items():
                            policy, _, settings = row.partition(" ")
                            for number, values in numbers.items():
                                case = Case(family, shape, int(number), float(cold), option)
                                self.add(Job(case, policy, settings), Measured(*values))

    def write(self) -> None:
        """Write the file in one step."""
        results: dict[str, Any] = {}
        for job, measured in sorted(self._results.items()):
            level = results
            for key in job.path:
                level = level.setdefault(key, {})
            level[str(job.case.number)] = [float(f"{value:.5g}") for value in measured]
        document = {
            "columns": Measured._fields,
            "code": self._codes,
            "results": results,
        }
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(document, separators=(",", ":")) + "\n")
        temporary.replace(self._path)
