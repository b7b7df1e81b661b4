"""Generation of docs/benchmarks/rollouts.md from the stored results (rollouts.json)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.rollouts.cases import CASES
from benchmarks.rollouts.graph import LEASE_SECONDS

JOINING = (
    "at the moment at which the new generation became complete: Dynamo 1.6.1 routes to it about "
    "20 ms before its prefill router is active "
    "([measured](../dynamo-protocol.md#namespaces-and-generations))."
)
HEAD = Path(__file__).parent / "HEAD.md"
Json = Mapping[str, Any]
_HEADINGS = ("case", "sent", "failed", "lowest prefill", "lowest decode", "kept", "seconds")


def cells(document: Json) -> tuple[str, ...]:
    """Return the numbers of a case for a table."""
    if "notRun" in document:
        return ("", "", "", "", "", "cannot run")
    seconds = document["seconds"]
    return (
        str(document["sent"]),
        str(document["failed"]),
        str(document["lowest"]["prefill"]),
        str(document["lowest"]["decode"]),
        str(document["kept"]),
        "did not end" if seconds is None else f"{seconds:.0f}",
    )


def table(documents: Json) -> list[str]:
    """Return a table of the cases in the order of `CASES`."""
    lines = [f"| {' | '.join((*_HEADINGS, 'what happens'))} |", "|" + " --- |" * 8]
    for name, case in CASES.items():
        if name in documents:
            row = (name, *cells(documents[name]), case.description)
            lines.append(f"| {' | '.join(row)} |")
    return lines


def waits(documents: Json) -> list[str]:
    """Return the unavoidable waits of each case without room, compared with its duration."""
    lines: list[str] = []
    for name, case in CASES.items():
        document = documents.get(name, {})
        if not case.reports_waits or not document.get("waits"):
            continue
        start, drain = mean(document["starts"]), mean(document["drains"])
        count, total, seconds = len(document["drains"]), document["waits"], document["seconds"]
        taken = "The case did not end." if seconds is None else f"The case took {seconds:.0f} s."
        lines.append(
            f"- **{name}**: {count} workers are replaced, each with a drain ({drain:.1f} s on "
            f"average), a start ({start:.1f} s) and the probation of one lease "
            f"({LEASE_SECONDS} s): {total:.0f} s in total, and twice that is {2 * total:.0f} s. "
            f"{taken}"
        )
    return ["", "## Unavoidable waits", "", *lines] if lines else []


def reasons(documents: Json) -> list[str]:
    """Return what went wrong in each case, with the reason where it cannot be avoided."""
    lines: list[str] = []
    for name, case in CASES.items():
        document = documents.get(name, {})
        texts = [f"{count} x {shortened(error)}" for error, count in document.get("errors", ())]
        texts += [t for t in (document.get("problem"), document.get("notRun")) if t]
        if texts:
            reason = f" {case.reason}" if case.reason and document.get("failed") else ""
            if joining := document.get("joining"):
                reason += f" {joining} of them {JOINING}"
            lines.append(f"- **{name}**: {'; '.join(texts)}.{reason}")
    return ["", "## What went wrong", "", *lines] if lines else []


def shortened(error: str) -> str:
    """Return an error without the JSON around the message of a response."""
    match = re.match(r'(HTTP \d+): \{"message":"([^".]*)', error)
    return f"{match[1]} ({match[2]})" if match else error


def _runs(stored: Json) -> Sequence[str]:
    run = stored.get("run")
    if not run:
        return ()
    return (
        f"This run: {run['at']}, {run['machine']}; ecs-dynamo {run['version']}, Dynamo "
        f"{run['dynamo']}.",
        "",
    )


def page(stored: Json) -> str:
    """Return the page for the stored results."""
    lines = [HEAD.read_text().rstrip(), "", *_runs(stored)]
    cases = stored.get("cases", {})
    if cases:
        lines += ["## Results", "", *table(cases)]
        lines += ["", "![routed workers over time](rollouts.png)"]
        lines += [*waits(cases), *reasons(cases)]
    if before := stored.get("before"):
        lines += [
            "",
            "## Before: all workers in one namespace",
            "",
            "The same cases with the version before generations, for comparison. Frontends refuse "
            "workers whose model card differs as long as one old worker remains.",
            "",
            *table(before),
            *(line.replace("## ", "### ") for line in reasons(before)),
        ]
    return "\n".join(lines) + "\n"
