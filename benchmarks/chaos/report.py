"""Reports of a campaign: a table on the terminal and a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.chaos.campaign import CampaignResult, FaultResult
from benchmarks.chaos.faults import FAULTS

HEADINGS = ("fault", "sent", "failed", "retried", "longest gap", "recovered", "violations")


def cells(row: FaultResult) -> tuple[str, ...]:
    """Return a row of the table."""
    return (
        row.fault.name,
        str(row.account.sent),
        str(row.account.failed),
        str(row.account.retried),
        f"{row.account.gap:.1f} s",
        "no" if row.recovery is None else f"{row.recovery:.0f} s",
        str(len(row.violations)),
    )


def terminal_line(row: FaultResult) -> str:
    """Return an aligned row, with its errors and problems on further lines."""
    name, *numbers = cells(row)
    mark = "ok  " if row.passed else "FAIL"
    line = f"{mark} {name:32}" + "".join(f"{n:>12}" for n in numbers)
    details = [f"{count} x {error}" for error, count in row.account.errors[:3]]
    details += [*row.violations, *([row.problem] if row.problem else [])]
    return "\n".join([line, *(f"       {text}" for text in details)])


def heading() -> str:
    """Return the heading of the terminal's table."""
    name, *numbers = HEADINGS
    return f"     {name:32}" + "".join(f"{n:>12}" for n in numbers)


def _table(rows: Sequence[FaultResult]) -> list[str]:
    lines = [f"| {' | '.join((*HEADINGS, 'what happens'))} |", "|" + " --- |" * 8]
    lines += [f"| {' | '.join((*cells(row), row.fault.description))} |" for row in rows]
    return lines


def machine() -> str:
    """Return a description of the machine."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({platform.machine()}), load average at the end {load}"


def page(result: CampaignResult, head: str, at: datetime | None = None) -> str:
    """Return the page, with faults in the order of `FAULTS`. ``head`` precedes the tables."""
    when = (at or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    rows = sorted(result.results, key=lambda row: list(FAULTS).index(row.fault.name))
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
        faults_by_reason: dict[str, list[str]] = {}
        for row in costly:
            faults_by_reason.setdefault(row.fault.reason, []).append(row.fault.name)
        for reason, faults in faults_by_reason.items():
            lines.append(f"- **{', '.join(faults)}**: {reason}")
    lines += _problems(rows)
    if result.not_run:
        names = ", ".join(fault.name for fault in result.not_run)
        lines += ["", "## Not run, for lack of time", "", names]
    return "\n".join(lines) + "\n"


def _problems(rows: Sequence[FaultResult]) -> list[str]:
    """Return the section about failed requests, violations and faults without recovery."""
    lines: list[str] = []
    for row in rows:
        texts = [f"{count} x {error}" for error, count in row.account.errors]
        texts += [*row.violations, *([row.problem] if row.problem else [])]
        if texts:
            lines.append(f"- {row.fault.name}: {'; '.join(texts)}")
    return ["", "## What went wrong", "", *lines] if lines else []
