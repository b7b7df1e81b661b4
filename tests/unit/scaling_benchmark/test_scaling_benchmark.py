"""The benchmark's jobs, store and claims, with results that are written down."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE

import pytest

from benchmarks.scaling import store as stores
from benchmarks.scaling.cases import LIMITED, PLAIN, Case
from benchmarks.scaling.claims import (
    Outcome,
    below_bound,
    compare_with_peers,
    compare_with_queue,
    gap_to_schedule,
    limited_fleets,
)
from benchmarks.scaling.plan import FULL, QUICK, TUNED_ON, jobs, tuning_jobs
from benchmarks.scaling.pool import clock, complete, grouped
from benchmarks.scaling.rows import FIXED, grid, parsed, setting_of, settings_of
from benchmarks.scaling.store import Job, Store
from benchmarks.scaling.summary import Cell, Scenario, half_width, relative_hours
from benchmarks.scaling.tuning import STAGES, best_settings, tried_settings, tuned_settings
from ecs_dynamo.simulate.peers.registry import PEERS
from tests.unit.scaling_benchmark.results import measured


def scenario(rows: Mapping[str, tuple[float, float]], option: str = PLAIN) -> Scenario:
    """Return a scenario with three equal runs of each row: (attained, hours)."""
    cells = {
        row: Cell(row, {n: measured(*values) for n in (0, 1, 2)}) for row, values in rows.items()
    }
    return Scenario("day", 210.0, option, cells)


@pytest.mark.parametrize(
    ("slo", "peers", "outcome"),
    [
        ((0.992, 10), {"keda-hpa": (0.995, 12), "ray-serve": (0.9, 5)}, Outcome.CHEAPER),
        ((0.992, 10), {"keda-hpa": (0.995, 9), "keda-hpa 2,0.9": (0.99, 8)}, Outcome.DEARER),
        ((0.992, 10), {"keda-hpa": (0.98, 9)}, Outcome.ONLY),
        ((0.98, 10), {"keda-hpa": (0.97, 9)}, Outcome.MOST),
        ((0.96, 10), {"keda-hpa": (0.97, 9)}, Outcome.LESS),
        ((0.98, 10), {"keda-hpa": (0.9, 9), "keda-hpa 2,0.9": (0.999, 90)}, Outcome.MISSES),
    ],
)
def test_slo_is_compared_with_the_best_peer(
    slo: tuple[float, float], peers: Mapping[str, tuple[float, float]], outcome: Outcome
) -> None:
    comparison = compare_with_peers(scenario({"slo": slo, "queue": (1.0, 1.0), **peers}))
    assert comparison is not None
    assert comparison.outcome is outcome


def test_queue_is_compared_at_equal_attainment() -> None:
    rows = {
        "slo": (0.99, 10.0),
        "slo miss=0.001": (0.999, 12.0),
        "queue": (0.95, 20.0),
        "queue target=0.5": (0.995, 11.9),
        "queue target=4": (0.5, 1.0),
    }
    worst = compare_with_queue(scenario(rows))
    assert worst is not None
    assert worst.slo is not None
    assert (worst.queue.row, worst.slo.row) == ("queue target=0.5", "slo miss=0.001")
    assert worst.holds
    beaten = compare_with_queue(scenario(rows | {"queue target=0.5": (0.995, 11.0)}))
    assert beaten is not None
    assert not beaten.holds
    unreached = compare_with_queue(scenario(rows | {"queue target=0.3": (1.0, 99.0)}))
    assert unreached is not None
    assert unreached.slo is None
    assert not unreached.holds
    assert compare_with_queue(scenario({"slo": (1, 1), "queue": (1, 1)})) is None


def frontiers(seeds: Mapping[str, range]) -> Scenario:
    """Return a scenario in which each setting has runs of some seeds."""
    cells = {
        row: Cell(row, {n: measured(0.99, 10 + n) for n in numbers})
        for row, numbers in seeds.items()
    }
    return Scenario("day", 210.0, PLAIN, cells)


def test_settings_with_fewer_seeds_narrow_the_comparison_visibly() -> None:
    rows = {"slo": range(10), "queue": range(10), "slo miss=0.1": range(5)}
    complete_runs = compare_with_queue(frontiers({**rows, "queue target=2": range(5)}))
    assert complete_runs is not None
    assert (complete_runs.seeds, complete_runs.is_narrowed) == (5, False)
    narrowed = compare_with_queue(frontiers({**rows, "queue target=2": range(2)}))
    assert narrowed is not None
    assert (narrowed.seeds, narrowed.is_narrowed) == (2, True)
    assert compare_with_queue(frontiers({**rows, "queue target=2": range(7, 9)})) is None


def test_the_gap_to_the_best_schedule_has_the_forecast_error() -> None:
    rows = {"slo": (0.99, 13.0), "oracle": (1.0, 11.0), "clairvoyant": (0.99, 10.0)}
    gap = gap_to_schedule(scenario(rows))
    assert gap is not None
    assert (gap.oracle, gap.slo) == (1.1, 1.3)
    assert gap.holds
    assert gap_to_schedule(scenario({"slo": (0.99, 13)})) is None


def test_the_bound_is_checked() -> None:
    rows = {"slo": (0.99, 10.0), "keda-hpa": (0.98, 8.0), "bound": (0.99, 9.0)}
    assert below_bound(scenario(rows)) == []
    assert below_bound(scenario(rows | {"wva-v1": (0.995, 8.9)})) == ["wva-v1"]


def test_a_limited_fleet_is_compared_with_the_best_split() -> None:
    rows = {"slo": (0.8, 10.0), FIXED: (0.88, 10.0)}
    (fleet,) = limited_fleets([scenario(rows, LIMITED), scenario(rows)], LIMITED)
    assert fleet.holds
    (fleet,) = limited_fleets([scenario(rows | {"slo": (0.7, 10.0)}, LIMITED)], LIMITED)
    assert not fleet.holds
    apart = {"slo": Cell("slo", {0: measured(1, 1)}), FIXED: Cell(FIXED, {1: measured(1, 1)})}
    assert limited_fleets([Scenario("day", 210.0, LIMITED, apart)], LIMITED) == []


def test_rows_are_compared_on_the_same_seeds() -> None:
    first = Cell("slo", {0: measured(1, 10), 1: measured(1, 90)})
    second = Cell("bound", {0: measured(1, 8), 2: measured(1, 1)})
    assert relative_hours(first, second) == 10 / 8
    assert relative_hours(first, Cell("bound", {5: measured(1, 1)})) is None
    assert half_width([1.0, 2.0]) is None
    # Ten values: the quantile with nine degrees of freedom, 2.26.
    width = half_width([float(i) for i in range(10)])
    assert width == pytest.approx(2.26 * 3.0277 / 10**0.5, rel=1e-3)


def test_settings_meet_the_goal_on_most_training_traces_and_then_cost_least() -> None:
    runs = {
        "": [measured(0.99, 10), measured(0.9, 10)],
        "1,1": [measured(0.99, 20), measured(0.99, 30)],
        "2,1": [measured(1.0, 30), measured(0.999, 18)],
    }
    assert best_settings(runs) == "2,1"
    assert best_settings({"": [measured(0.5, 1)], "3,3": [measured(0.6, 9)]}) == "3,3"
    cases = [Case("training", "bursty", 0), Case("reported", "bursty", 0)]
    results = [(Job(case, "keda-hpa", "2,1"), measured(1, 1)) for case in cases]
    results.append((Job(cases[1], "ray-serve"), measured(1, 1)))
    assert [policy for policy, _ in tuned_settings(results)] == ["keda-hpa"]


def test_the_search_for_settings_is_repeatable() -> None:
    """Results of later stages do not change what earlier stages try."""
    first = tried_settings("knative-kpa", {}, 3)
    assert first == ["", "0.7,1", "1.5,1", "3,1"]
    runs = {settings: [measured(0.99, 10 - i)] for i, settings in enumerate(first)}
    second = tried_settings("knative-kpa", runs, 3)
    assert second == [*first, "3,0.7", "3,1.3"]
    runs |= {"3,0.7": [measured(0.99, 1)], "3,1.3": [measured(0.9, 1)]}
    third = tried_settings("knative-kpa", runs, 3)
    assert third[:6] == second
    assert len(third) > 6
    assert all(settings.startswith("3,0.7 ") for settings in third[6:])
    runs["3,0.7 delay=1"] = [measured(1, 0.1)]
    assert tried_settings("knative-kpa", runs, 3) == third


def test_the_plan_covers_all_peers_seeds_and_cold_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_DYNAMO_TRACES", raising=False)
    tuning = list(tuning_jobs([], 1, quick=False))
    assert {job.case.shape for job in tuning} == set(TUNED_ON)
    assert {job.case.family for job in tuning} == {"training"}
    assert all(job.case.seed < 100 for job in tuning)
    assert {job.policy for job in tuning} == set(PEERS)
    planned = list(jobs(FULL, dict.fromkeys(PEERS, "")))
    assert all(job.case.seed >= 1000 for job in planned)
    growing = {
        (job.case.cold_start, job.case.seed)
        for job in planned
        if job.policy == "slo" and job.case.shape == "growing-prompts"
    }
    assert len(growing) == 20
    assert {job.case.option for job in planned} == {PLAIN, LIMITED}
    assert {job.case.shape for job in planned} == set(FULL) - {"azure", "mooncake"}
    assert len(list(jobs(QUICK, {}))) < len(planned) / 10
    monkeypatch.setenv("ECS_DYNAMO_TRACES", "/traces")
    assert {job.case.shape for job in jobs(FULL, {})} == set(FULL)


@pytest.mark.parametrize("policy", list(PEERS))
def test_a_grid_begins_with_the_defaults_and_repeats_nothing(policy: str) -> None:
    targets = [settings for stage in (0, 1) for settings in grid(policy, "", stage)]
    assert targets.count("") == 2
    assert len(set(targets)) == len(targets) - 1 > 2
    for stage in range(STAGES):
        for settings in grid(policy, targets[-1], stage):
            pair, option = parsed(policy, settings)
            assert settings_of(policy, pair, option) == settings


def test_results_are_stored_and_dropped_when_code_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scaling.json"
    store = Store(path)
    assert store.forget_outdated(["slo", "keda-hpa"]) == 0
    case = Case("reported", "day", 3, 60.0, LIMITED)
    store.add(Job(case, "slo"), measured(0.99, 123.456789))
    store.add(Job(case, "keda-hpa", "2,0.9 delay=5"), measured(0.5, 2))
    store.write()
    again = Store(path)
    assert dict(again) == {
        Job(case, "slo"): measured(0.99, 123.456789)._replace(
            goodput=8.019, hours=123.46, billed4=123.46, billed8=123.46
        ),
        Job(case, "keda-hpa", "2,0.9 delay=5"): measured(0.5, 2),
    }
    assert again.forget_outdated(["slo", "keda-hpa"]) == 0
    monkeypatch.setitem(stores.SOURCES, "policies", ("README.md", "ecs_dynamo/__init__.py"))
    assert again.forget_outdated(["slo", "keda-hpa"]) == 1
    assert [job.policy for job, _ in again] == ["keda-hpa"]


def test_missing_jobs_run_in_groups_of_a_case(tmp_path: Path) -> None:
    case = Case("reported", "growing-prompts", 1)
    other = Case("reported", "growing-prompts", 1, 60.0)
    planned = [Job(case, "step-scaling"), Job(case, "dynamo-load"), Job(other, "dynamo-load")]
    assert [len(group) for group in grouped(planned)] == [2, 1]
    store = Store(tmp_path / "scaling.json")
    store.add(planned[2], measured(1, 1))
    lines: list[str] = []
    complete(store, planned, workers=1, say=lines.append)
    assert len(store) == 3
    assert "2/2 runs" in lines[-1]
    assert len(Store(tmp_path / "scaling.json")) == 3
    assert clock(125.0) == "2:05"
    assert setting_of(case).trace.name == "growing-prompts"


IMPORTED = """
import sys
import benchmarks.scaling.rows
print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)), sep="\\n")
"""
"""Prints the files of all modules that the runs of the benchmark import."""


def test_results_depend_on_all_code_that_their_runs_import() -> None:
    output = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=stores.ROOT, text=True, stdout=PIPE, check=True
    )
    folders = [
        stores.ROOT / name
        for name in ("benchmarks", "ecs_dynamo/simulate", "ecs_dynamo/planning/scaling")
    ]
    imported = {
        path
        for path in map(Path, output.stdout.splitlines())
        if path.name != "__init__.py" and any(path.is_relative_to(folder) for folder in folders)
    }
    patterns = [pattern for patterns in stores.SOURCES.values() for pattern in patterns]
    for pattern in patterns:
        assert list(stores.ROOT.glob(pattern)), pattern
    sources = {path for pattern in patterns for path in stores.ROOT.glob(pattern)}
    # The store reads results only in its own format.
    assert imported - sources == {stores.ROOT / "benchmarks" / "scaling" / "store.py"}


def test_what_all_kinds_of_policies_share_is_among_the_sources_of_the_fleet() -> None:
    """The case, the sizes of the initial fleet, the columns of results, and the loop of a run."""
    files = {path for pattern in stores.SOURCES["fleet"] for path in stores.ROOT.glob(pattern)}
    for name in (
        "benchmarks/scaling/cases.py",
        "benchmarks/scaling/rows.py",
        "ecs_dynamo/planning/scaling/erlang_c.py",
        "ecs_dynamo/simulate/compare.py",
        "ecs_dynamo/simulate/result.py",
        "ecs_dynamo/simulate/run.py",
    ):
        assert stores.ROOT / name in files
