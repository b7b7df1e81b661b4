"""Which jobs the benchmark consists of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.scaling.cases import (
    COLD_STARTS,
    LIMITED,
    MAIN_COLD_START,
    Case,
    shared_shapes,
)
from benchmarks.scaling.rows import (
    ALONE,
    BOUND,
    CLAIRVOYANT,
    FIXED,
    ORACLE,
    OWN,
    QUEUE,
    SLO,
)
from benchmarks.scaling.store import Job, Measured
from benchmarks.scaling.tuning import runs_of, tried_settings
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.traces.families import REPORTED, TRAINING

HOUR_LONG = ("azure", "mooncake", "growing-prompts", "code-assistant")
TUNED_ON = ("growing-prompts", "code-assistant", "flash-crowds", "launch-day", "batch-jobs")
"""Training shapes on which the peers' settings are chosen."""
LIMITED_SHAPES = ("azure", "mooncake", "growing-prompts", "flash-crowds", "launch-day")
FRONTIER_SETTINGS = (
    "miss=0.0001 headroom=4",
    "miss=0.0001 headroom=2",
    *(f"miss={miss:g}" for miss in (0.0001, 0.001, 0.0025, 0.01, 0.03, 0.08)),
)
FRONTIER_TARGETS = (0.25, 0.4, 0.5, 0.65, 0.8)


@dataclass(frozen=True, slots=True)
class Size:
    """Number of seeds of a shape: at the main cold start, and at each of the others.

    ``searches`` is for rows that search (a bound, a fixed fleet) and for the frontiers. ``tuned``:
    peers run with the chosen settings too.
    """

    main: int
    others: int
    searches: int
    tuned: bool = True


FULL: Mapping[str, Size] = {
    **dict.fromkeys(HOUR_LONG, Size(10, 5, 5)),
    **dict.fromkeys(("flash-crowds", "launch-day", "batch-jobs", "bursty"), Size(6, 3, 3)),
    **dict.fromkeys(("recurring-bursts", "day"), Size(2, 1, 1)),
    "business-weeks": Size(1, 0, 1, tuned=False),
    "month": Size(1, 0, 0, tuned=False),
}
QUICK: Mapping[str, Size] = {
    **dict.fromkeys(HOUR_LONG, Size(1, 1, 1)),
    **dict.fromkeys(("flash-crowds", "batch-jobs"), Size(1, 0, 1)),
}


def family_of(shape: str) -> str:
    """Return the family of a reported trace."""
    return REPORTED.name if shape in REPORTED.shapes else "shared"


def tuning_jobs(
    results: Iterable[tuple[Job, Measured]], stages: int, *, quick: bool
) -> Iterator[Job]:
    """Yield the runs of all peers on training traces in the first ``stages``."""
    runs = runs_of(results)
    for shape in TUNED_ON[2:4] if quick else TUNED_ON:
        case = Case(TRAINING.name, shape, 0)
        for policy in PEERS:
            for settings in tried_settings(policy, runs.get(policy, {}), stages):
                yield Job(case, policy, settings)


def reported_shapes(sizes: Mapping[str, Size]) -> list[str]:
    """Return the reported shapes of which traces are available."""
    return [shape for shape in (*shared_shapes(), *REPORTED.shapes) if shape in sizes]


def jobs(sizes: Mapping[str, Size], tuned: Mapping[str, str]) -> Iterator[Job]:
    """Yield all runs on reported traces. ``tuned`` has the chosen settings of each peer."""
    for shape in reported_shapes(sizes):
        for cold_start in COLD_STARTS:
            yield from case_jobs(shape, cold_start, sizes[shape], tuned)
    for shape in reported_shapes(sizes):
        if shape in LIMITED_SHAPES:
            yield from limited_jobs(shape, sizes[shape], tuned)


def case_jobs(shape: str, cold_start: float, size: Size, tuned: Mapping[str, str]) -> Iterator[Job]:
    """Yield the runs of one shape with one cold start."""
    number = size.main if cold_start == MAIN_COLD_START else size.others
    for seed in range(number):
        case = Case(family_of(shape), shape, seed, cold_start)
        for policy in OWN:
            yield Job(case, policy)
        for policy, settings in tuned.items():
            yield Job(case, policy)
            if size.tuned:
                yield Job(case, policy, settings)
        if seed < size.searches:
            yield Job(case, BOUND)
            yield Job(case, ORACLE)
            yield Job(case, FIXED)
            if size.tuned:
                yield Job(case, CLAIRVOYANT)
            if size.tuned:
                yield from frontier_jobs(case)


def frontier_jobs(case: Case) -> Iterator[Job]:
    """Yield the runs that show the cost of both own policies by attainment."""
    for settings in FRONTIER_SETTINGS:
        yield Job(case, SLO, settings)
    for target in FRONTIER_TARGETS:
        yield Job(case, QUEUE, f"target={target:g}")


def limited_jobs(shape: str, size: Size, tuned: Mapping[str, str]) -> Iterator[Job]:
    """Yield the runs of one shape in a fleet that is too small for its peak."""
    for seed in range(min(size.searches, 2)):
        case = Case(family_of(shape), shape, seed, option=LIMITED)
        for policy in (SLO, ALONE, QUEUE, FIXED):
            yield Job(case, policy)
        for policy, settings in tuned.items():
            yield Job(case, policy)
            yield Job(case, policy, settings)
