"""The campaign as a table on the terminal and as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.chaos.campaign import Result, Row
from benchmarks.chaos.faults import FAULTS

HEADINGS = ("fault", "sent", "failed", "retried", "longest gap", "recovered", "violations")


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    return (
        row.fault.name,
        str(row.account.sent),
        str(row.account.failed),
        str(row.account.retried),
        f"{row.account.gap:.1f} s",
        "no" if row.recovery is None else f"{row.recovery:.0f} s",
        str(len(row.violations)),
    )


def terminal_line(row: Row) -> str:
    """A row, aligned, with what went wrong below it."""
    name, *numbers = cells(row)
    mark = "ok  " if row.fine else "FAIL"
    line = f"{mark} {name:32}" + "".join(f"{n:>12}" for n in numbers)
    more = [f"{count} x {error}" for error, count in row.account.errors[:3]]
    more += [*row.violations, *([row.problem] if row.problem else [])]
    return "\n".join([line, *(f"       {text}" for text in more)])


def heading() -> str:
    """The terminal's heading line."""
    name, *numbers = HEADINGS
    return f"     {name:32}" + "".join(f"{n:>12}" for n in numbers)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [f"| {' | '.join((*HEADINGS, 'what happens'))} |", "|" + " --- |" * 8]
    lines += [f"| {' | '.join((*cells(row), row.fault.what))} |" for row in rows]
    return lines


def machine() -> str:
    """What it ran on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({platform.machine()}), load average at the end {load}"


def page(result: Result, head: str, at: datetime | None = None) -> str:
    """The page, in the order of the table of faults; ``head`` is what stands before the tables."""
    when = (at or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    rows = sorted(result.rows, key=lambda row: list_order(row))
    survived = [row for row in rows if row.fault.survivable]
    costly = [row for row in rows if not row.fault.survivable]
    sent = sum(row.account.sent for row in rows)
    failed = sum(row.account.failed for row in survived)
    violations = sum(len(row.violations) for row in rows)
    lines = [
        head.rstrip(),
        "",
        f"This run: seed {result.seed}, {when}, {len(rows)} faults in {result.seconds / 60:.0f} "
        f"minutes, {machine()}; ecs-dynamo {version('ecs-dynamo')}, Dynamo {version('ai-dynamo')}.",
        f"{sent} requests; {failed} failed in the {len(survived)} faults that Dynamo can survive; "
        f"{violations} violations.",
        "",
        "## Faults that Dynamo can survive",
        "",
        *_table(survived),
    ]
    if costly:
        lines += ["", "## Faults that cost requests", "", *_table(costly), ""]
        whys: dict[str, list[str]] = {}
        for row in costly:
            whys.setdefault(row.fault.why, []).append(row.fault.name)
        lines += [f"- **{', '.join(names)}**: {why}" for why, names in whys.items()]
    lines += _wrong(rows)
    if result.left_out:
        names = ", ".join(fault.name for fault in result.left_out)
        lines += ["", "## Not run, for lack of time", "", names]
    return "\n".join(lines) + "\n"


def _wrong(rows: Sequence[Row]) -> list[str]:
    """What requests failed with, what was violated, and what did not recover."""
    lines: list[str] = []
    for row in rows:
        texts = [f"{count} x {error}" for error, count in row.account.errors]
        texts += [*row.violations, *([row.problem] if row.problem else [])]
        if texts:
            lines.append(f"- {row.fault.name}: {'; '.join(texts)}")
    return ["", "## What went wrong", "", *lines] if lines else []


def list_order(row: Row) -> int:
    """Where the fault stands in the table of faults."""
    return list(FAULTS).index(row.fault.name)
