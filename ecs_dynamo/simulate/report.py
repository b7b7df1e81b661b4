"""Presentation of results as a table and as plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecs_dynamo.simulate.run import Result
from ecs_dynamo.simulate.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table. ``narrow``: it is part of the table in a terminal."""

    heading: str
    text: Callable[[Result], str]
    narrow: bool = False


def format_seconds(value: float) -> str:
    """Return a time with two decimals below 10 s and none above; "never" if it is infinite."""
    if math.isinf(value):
        return "never"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


COLUMNS = (
    Column("policy", lambda r: r.policy, narrow=True),
    Column("attained", lambda r: _percent(r.attainment), narrow=True),
    Column("TTFT and ITL met", lambda r: _percent(r.latency_attainment)),
    Column("met per GPU hour", lambda r: f"{r.goodput_per_gpu_hour:,.0f}", narrow=True),
    Column("queue p50", lambda r: format_seconds(r.queue_p50)),
    Column("p90", lambda r: format_seconds(r.queue_p90)),
    Column("p99", lambda r: format_seconds(r.queue_p99)),
    Column("TTFT p50", lambda r: format_seconds(r.ttft_p50), narrow=True),
    Column("p90", lambda r: format_seconds(r.ttft_p90), narrow=True),
    Column("p99", lambda r: format_seconds(r.ttft_p99), narrow=True),
    Column("ITL p50", lambda r: f"{1e3 * r.itl_p50:.0f} ms"),
    Column("ITL p99", lambda r: f"{1e3 * r.itl_p99:.0f} ms", narrow=True),
    Column("late in prefill", lambda r: _percent(r.prefill_late)),
    Column("late in decode", lambda r: _percent(r.decode_late)),
    Column("GPU hours", lambda r: f"{r.gpu_hours:.1f}", narrow=True),
    Column("instance hours", lambda r: f"{r.instance_hours:.1f}"),
    Column("dollars", lambda r: f"{r.dollars:,.0f}", narrow=True),
    Column("launches", lambda r: str(r.launches), narrow=True),
    Column("wasted", lambda r: str(r.wasted)),
    Column("rejected", lambda r: str(r.rejected)),
)
"""Met: within all declared targets (queue time, TTFT, mean ITL). Waits are late in a stage if they
exceed the queue target in that stage alone."""
_NARROW = tuple(c for c in COLUMNS if c.narrow)
HEADINGS = tuple(c.heading for c in _NARROW)


def row(result: Result) -> tuple[str, ...]:
    """Return a line of the table for a terminal, in the order of `HEADINGS`."""
    return tuple(column.text(result) for column in _NARROW)


def markdown(results: Sequence[Result]) -> str:
    """Return the table with all columns in Markdown, for the documentation."""
    lines = [
        f"| {' | '.join(c.heading for c in COLUMNS)} |",
        "|" + " --- |" * len(COLUMNS),
        *(f"| {' | '.join(c.text(r) for c in COLUMNS)} |" for r in results),
    ]
    return "\n".join(lines) + "\n"


def plot_history(trace: Trace, results: Sequence[Result], path: Path) -> None:
    """Plot load and replicas over time as PNG or SVG, depending on the suffix of ``path``."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    width = max(60.0, trace.seconds / 400)
    counts, edges = np.histogram(trace.arrivals, np.arange(0, trace.seconds + width, width))
    top.fill_between(edges[:-1] / 3600, counts / width, color="tab:gray", alpha=0.5, step="post")
    top.set_ylabel("requests/s")
    top.set_title(f"{trace.name}: {len(trace):,} requests")
    colours = colormaps["tab20"].resampled(20)
    for number, result in enumerate(results):
        times = [t / 3600 for t, _, _ in result.history]
        total = [p + d for _, p, d in result.history]
        label = (
            f"{result.policy}: {100 * result.attainment:.2f} % attained, "
            f"{result.gpu_hours:.1f} GPU hours"
        )
        bottom.step(
            times, total, where="post", label=label, linewidth=1.4, color=colours(number % 20)
        )
    bottom.set_ylabel("desired replicas (prefill + decode)")
    bottom.set_xlabel("hours")
    bottom.set_ylim(bottom=0)
    bottom.legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=110)


def plot_frontier(results: Sequence[Result], path: Path, title: str) -> None:
    """Plot missed requests over GPU hours; the lower left corner is best."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 6), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(r.policy.split(" ")[0] for r in results):
        of_policy = sorted(
            (r for r in results if r.policy.split(" ")[0] == name), key=lambda r: r.gpu_hours
        )
        x = [r.gpu_hours for r in of_policy]
        y = [max(100 * (1 - r.attainment), 0.005) for r in of_policy]
        marker = "*" if name == "slo" else "o"
        axes.plot(x, y, marker=marker, markersize=13 if name == "slo" else 6, label=name, lw=0.8)
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_xlabel("GPU hours")
    axes.set_ylabel("requests that waited longer than the target (%)")
    axes.set_title(title)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
