"""Tables of the document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.scaling.claims import compare_with_peers
from benchmarks.scaling.rows import ALONE, BOUND, CLAIRVOYANT, FIXED, ORACLE, QUEUE, SLO
from benchmarks.scaling.summary import Cell, Scenario, best, relative_hours
from ecs_dynamo.simulate.report import format_seconds

LABELS = {
    ALONE: "slo without arbitration",
    FIXED: "cheapest fixed fleet",
    ORACLE: "slo's sizes for the true load",
    CLAIRVOYANT: "clairvoyant schedule",
    BOUND: "bound",
}
"""Names of rows in the document, where they differ from the policy's."""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(headings)} |", "|" + " --- |" * len(headings)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def label(row: str) -> str:
    """Return the name of a row."""
    policy, _, settings = row.partition(" ")
    return f"{LABELS.get(policy, policy)} {settings}".rstrip()


def percent(cell: Cell, column: str = "attained") -> str:
    """Return a share with its 95 % interval; bold if it meets the goal."""
    value, spread = 100 * cell.mean(column), cell.spread(column)
    text = f"{value:.1f}" if value < 99.95 or value == 100 else f"{value:.2f}"
    if column == "attained" and cell.meets:
        text = f"**{text}**"
    return f"{text} ± {100 * spread:.1f} %" if spread is not None else f"{text} %"


def ratio(cell: Cell, best_schedule: Cell | None) -> str:
    """Return the cost relative to the best schedule; without that, the GPU hours."""
    relative = relative_hours(cell, best_schedule) if best_schedule else None
    return f"{relative:.2f}" if relative else f"{cell.hours:.0f} h"


def count(value: float) -> str:
    """Return a number of requests with three significant digits."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{round(value, digits - 2 if value >= 1000 else digits):,.0f}"


def named(peer: Cell | None, best_schedule: Cell | None) -> str:
    """Return the name of a peer and what `short` returns; empty without a peer."""
    return f"{peer.policy}: {short(peer, best_schedule)}" if peer else ""


def short(cell: Cell | None, best_schedule: Cell | None) -> str:
    """Return attainment, relative cost and goodput of a row as one cell of a table."""
    if cell is None:
        return ""
    return f"{percent(cell)}; {ratio(cell, best_schedule)}; {count(cell.goodput)}"


def overview(every: Sequence[Scenario]) -> str:
    """Return a table of all shapes: the best schedule, slo, and what else could be used."""
    headings = (
        "trace",
        "seeds",
        "GPU hours: bound",
        "best schedule",
        "slo",
        "queue",
        "best peer, defaults",
        "best peer, tuned",
        "cheapest fixed fleet",
    )
    rows = []
    for scenario in every:
        bound, schedule = scenario.bound, scenario.schedule
        default, tuned = best(scenario.default_peers), best(scenario.tuned_peers)
        rows.append(
            (
                scenario.shape,
                str(len(scenario.slo.runs)),
                f"{bound.hours:.1f}" if bound else "",
                f"{schedule.hours:.1f}; {count(schedule.goodput)}" if schedule else "",
                short(scenario.slo, schedule),
                short(scenario.get(QUEUE), schedule),
                named(default, schedule),
                named(tuned, schedule),
                short(scenario.fixed, schedule),
            )
        )
    return table(headings, rows)


def outcomes(every: Sequence[Scenario]) -> str:
    """Return a table of what holds for each shape."""
    rows = []
    for scenario in every:
        comparison = compare_with_peers(scenario)
        if comparison is None:
            rows.append((scenario.shape, percent(scenario.slo), "", "", "was not compared"))
            continue
        peer = comparison.peer
        rows.append(
            (
                scenario.shape,
                percent(scenario.slo),
                f"{label(peer.row)}: {percent(peer)}",
                f"{100 * (comparison.hours - 1):+.0f} %",
                comparison.outcome.value,
            )
        )
    return table(("trace", "slo", "best peer", "slo's GPU hours", "slo..."), rows)


def policies(scenario: Scenario) -> str:
    """Return all rows of a scenario."""
    headings = (
        "policy",
        "attained",
        "TTFT and ITL met",
        "per GPU hour",
        "queue p99",
        "TTFT p99",
        "GPU hours",
        "relative",
        "billed by 4",
        "by 8",
        "dollars",
        "launches",
    )
    own = [scenario.get(row) for row in (SLO, ALONE, QUEUE)]
    references = [scenario.get(row) for row in (ORACLE, FIXED, CLAIRVOYANT)]
    shown = [*own, *scenario.default_peers, *scenario.tuned_peers, *references]
    unique = {cell.row: cell for cell in shown if cell}
    return table(headings, (_policy_row(cell, scenario.schedule) for cell in unique.values()))


def _policy_row(cell: Cell, best_schedule: Cell | None) -> tuple[str, ...]:
    spread = cell.spread("hours")
    relative = relative_hours(cell, best_schedule) if best_schedule else None
    return (
        label(cell.row),
        percent(cell),
        percent(cell, "good"),
        count(cell.goodput),
        _seconds(cell.mean("queue_p99")),
        _seconds(cell.mean("ttft_p99")),
        f"{cell.hours:.1f}" + (f" ± {spread:.1f}" if spread is not None else ""),
        f"{relative:.2f}" if relative else "",
        f"{cell.mean('billed4'):.1f}",
        f"{cell.mean('billed8'):.1f}",
        f"{cell.mean('dollars'):.0f}",
        f"{cell.mean('launches'):.0f}",
    )


def _seconds(value: float) -> str:
    return format_seconds(value if value < 1e5 else math.inf)
