"""The choice of each peer's settings on the training traces.

The search goes in stages: targets for prefill, then for decode, then options. It is replayed from
the stored results, so that it comes to the same settings however often it was interrupted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.scaling.cases import GOAL
from benchmarks.scaling.rows import grid
from benchmarks.scaling.store import Job, Measured
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.traces.families import TRAINING

STAGES = 3
Runs = Mapping[str, Sequence[Measured]]


def runs_of(results: Iterable[tuple[Job, Measured]]) -> dict[str, dict[str, list[Measured]]]:
    """Return the results on training traces by peer and settings."""
    runs: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for job, measured in results:
        if job.case.family == TRAINING.name and job.policy in PEERS:
            runs[job.policy][job.settings].append(measured)
    return runs


def tried_settings(policy: str, runs: Runs, stages: int = STAGES) -> list[str]:
    """Return the settings of a peer to try in the first ``stages``, as far as results decide."""
    tried: list[str] = []
    for stage in range(stages):
        known = {settings: runs[settings] for settings in tried if settings in runs}
        if len(known) < len(tried):
            break
        tried += [s for s in grid(policy, best_settings(known), stage) if s not in tried]
    return tried


def tuned_settings(results: Iterable[tuple[Job, Measured]]) -> Iterator[tuple[str, str]]:
    """Yield each peer with its best settings on the training traces."""
    for policy, runs in runs_of(results).items():
        tried = tried_settings(policy, runs)
        yield policy, best_settings({s: runs[s] for s in tried if s in runs})


def best_settings(runs: Runs) -> str:
    """Return the settings that meet the goal on most traces, and then those that cost least.

    Costs are compared as geometric means, so that each trace counts equally. Settings that meet the
    goal nowhere are compared by their mean attainment. Without results, the defaults are returned.
    """

    def rank(settings: str) -> tuple[int, float, float]:
        met = sum(run.attained >= GOAL for run in runs[settings])
        cost = sum(math.log(run.hours) for run in runs[settings]) / len(runs[settings])
        attained = sum(run.attained for run in runs[settings]) / len(runs[settings])
        return (-met, cost if met else -attained, cost)

    return min(runs, key=rank, default="")
