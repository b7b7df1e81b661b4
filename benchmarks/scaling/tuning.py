"""The choice of each peer's settings on the training traces."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.scaling.cases import GOAL
from benchmarks.scaling.store import Job, Measured
from ecs_dynamo.simulate.traces.families import TRAINING


def tuned_settings(results: Iterable[tuple[Job, Measured]]) -> dict[str, str]:
    """Return the best settings of each peer on the training traces."""
    runs: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for job, measured in results:
        if job.case.family == TRAINING.name:
            runs[job.policy][job.settings].append(measured)
    return {policy: best_settings(settings) for policy, settings in runs.items()}


def best_settings(runs: Mapping[str, Sequence[Measured]]) -> str:
    """Return the settings that meet the goal on most traces, and then those that cost least.

    Costs are compared as geometric means, so that each trace counts equally. Settings that meet the
    goal nowhere are compared by their mean attainment.
    """

    def rank(settings: str) -> tuple[int, float, float]:
        met = sum(run.attained >= GOAL for run in runs[settings])
        cost = sum(math.log(run.hours) for run in runs[settings]) / len(runs[settings])
        attained = sum(run.attained for run in runs[settings]) / len(runs[settings])
        return (-met, cost if met else -attained, cost)

    return min(runs, key=rank)
