"""Pictures of the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.scaling.cases import GOAL, Case
from benchmarks.scaling.plan import family_of
from benchmarks.scaling.rows import ORACLE, SLO, run
from benchmarks.scaling.store import Job
from benchmarks.scaling.summary import Cell, Scenario, best, relative_hours
from ecs_dynamo.simulate.report import plot_history

DRAWN = ("growing-prompts", "flash-crowds", "batch-jobs")
"""Shapes whose replicas over time are drawn."""
LOWEST = 0.6
"""Attainment at the lower edge of the picture; what attains less is drawn there."""
HIGHEST_COST = 8.0


def draw_overview(every: Sequence[Scenario], path: Path) -> None:
    """Plot the late requests of slo and the peers over cost relative to the best schedule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 6.2), layout="constrained")
    axes = figure.subplots()
    axes.axhspan(1e-4, 1 - GOAL, color="tab:green", alpha=0.12, lw=0)
    axes.text(HIGHEST_COST * 0.97, 1.15e-4, "target met", color="tab:green", ha="right", va="top")
    peers = [p for s in every for cell in s.peers if (p := _point(s, cell))]
    axes.scatter(*_columns(peers), s=9, color="0.72", label="peers, defaults and tuned")
    queue = [p for s in every if (c := s.get("queue")) and (p := _point(s, c))]
    axes.scatter(*_columns(queue), s=36, marker="s", color="tab:purple", label="queue", zorder=2)
    chosen = _columns([p for s in every if (c := best(s.peers)) and (p := _point(s, c))])
    axes.scatter(*chosen, s=52, color="tab:blue", label="best peer of each trace", zorder=3)
    for scenario in every:
        point = _point(scenario, scenario.slo)
        peer = best(scenario.peers)
        other = _point(scenario, peer) if peer else None
        if point:
            axes.annotate(
                scenario.shape, point, xytext=(7, 5), textcoords="offset points", fontsize=8
            )
        if point and other:
            axes.plot(*_columns([other, point]), color="tab:blue", alpha=0.25, lw=0.8, zorder=1)
    own = _columns([p for s in every if (p := _point(s, s.slo))])
    axes.scatter(*own, s=190, marker="*", color="tab:orange", edgecolor="k", label="slo", zorder=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.95, HIGHEST_COST)
    axes.set_ylim(1 - LOWEST, 1e-4)
    axes.set_xticks([1, 1.5, 2, 3, 4, 6, 8], ["1", "1.5", "2", "3", "4", "6", "8"])
    axes.minorticks_off()
    late = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001)
    axes.set_yticks(late, [f"{100 * (1 - value):g} %" for value in late])
    axes.set_xlabel("GPU hours, relative to the best schedule with perfect knowledge of the future")
    axes.set_ylabel("requests within the queue target")
    axes.set_title("Upper left is best: the target is met at the lowest cost")
    axes.grid(visible=True, alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    figure.savefig(path, dpi=110)


def draw_history(scenario: Scenario, path: Path) -> None:
    """Plot load and replicas over time: slo, the best peer, and slo's sizes for the true load.

    Without results of peers, none is drawn.
    """
    case = Case(family_of(scenario.shape), scenario.shape, 0, scenario.cold_start, scenario.option)
    setting = replace(case.setting(), history=True)
    peer = best(scenario.peers)
    rows = (SLO, *([peer.row] if peer else []), ORACLE)
    jobs = [Job(case, *row.split(" ", 1)) for row in rows]
    plot_history(setting.trace, [run(setting, job) for job in jobs], path)


Point = tuple[float, float]


def _point(scenario: Scenario, cell: Cell) -> Point | None:
    """Return (relative cost, late share) within the picture; None without a schedule."""
    cost = relative_hours(cell, scenario.schedule) if scenario.schedule else None
    if not cost:
        return None
    return min(cost, HIGHEST_COST * 0.98), min(max(1 - cell.attained, 1.3e-4), 1 - LOWEST)


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
