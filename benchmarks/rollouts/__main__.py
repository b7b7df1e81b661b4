"""Run rollouts under load: `python -m benchmarks rollouts`, or only some of them: `--cases etcd*`.

The results are stored in docs/benchmarks/rollouts.json, and docs/benchmarks/rollouts.md is written
from them. The exit code is 1 if a case did not end, or lost a request that Dynamo can survive.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.chaos.stage import StageError
from benchmarks.command_line import select
from benchmarks.rollouts.case import Case
from benchmarks.rollouts.cases import CASES
from benchmarks.rollouts.page import page
from benchmarks.rollouts.picture import draw
from benchmarks.rollouts.run import CaseResult, run_case
from ecs_dynamo.common.cancellation import cancel_on_signals
from ecs_dynamo.demo.example import build_model, example_directory

OUT = Path(__file__).parents[2] / "docs" / "benchmarks"
PICTURED = "block size, with room"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; a pattern that matches no case ends the program."""
    parser = argparse.ArgumentParser("python -m benchmarks rollouts", description=__doc__)
    parser.add_argument(
        "--cases", nargs="+", default=["*"], metavar="NAME", help="names, or patterns such as etcd*"
    )
    parser.add_argument(
        "--results", type=Path, default=OUT / "rollouts.json", help="file to store the results in"
    )
    parser.add_argument(
        "--before",
        action="store_true",
        help="store the results as those of a version without generations, for comparison",
    )
    parser.add_argument("--no-page", action="store_true", help="write no page and no picture")
    parser.add_argument("--logs", type=Path, help="folder to keep the logs of each case in")
    parser.add_argument(
        "--older-version",
        type=Path,
        metavar="FOLDER",
        help="sources of a version without generations, for the case of an adoption",
    )
    parser.add_argument(
        "--page-only", action="store_true", help="run nothing; write the page from the results"
    )
    parser.add_argument("--list", action="store_true", help="list the cases and exit")
    namespace = parser.parse_args(arguments)
    namespace.selected = select(CASES, namespace.cases)
    if not namespace.selected:
        parser.error("no case has such a name; see --list")
    return namespace


def terminal_line(case: Case, result: CaseResult) -> str:
    """Return the result as a line, with errors and problems on further lines."""
    seconds = "did not end" if result.seconds is None else f"{result.seconds:.0f} s"
    lowest = ", ".join(f"{count} {role}" for role, count in result.lowest.items())
    details = [f"{count} x {error}" for error, count in result.errors]
    details += [result.problem] if result.problem else []
    line = (
        f"{case.name:32}{seconds:>12}{result.failed:>5} of {result.sent} failed, "
        f"lowest capacity {lowest}, {result.kept} kept"
    )
    return "\n".join([line, *(f"    {text}" for text in details)])


@dataclass(frozen=True, slots=True)
class Store:
    """The file of results. Each case is stored when it has ended."""

    file: Path
    before: bool = False

    def read(self) -> dict[str, Any]:
        """Return everything that is stored."""
        if not self.file.exists():
            return {}
        document: dict[str, Any] = json.loads(self.file.read_text())
        return document

    def add(self, name: str, document: dict[str, Any]) -> None:
        """Store the result of a case."""
        stored = self.read()
        stored.setdefault("before" if self.before else "cases", {})[name] = document
        if not self.before:
            stored["run"] = {
                "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "machine": f"{os.cpu_count()} cores ({platform.machine()})",
                "version": version("ecs-dynamo"),
                "dynamo": version("ai-dynamo"),
            }
        self.file.write_text(json.dumps(stored, separators=(",", ":")) + "\n")


async def run_cases(
    cases: Sequence[Case], store: Store, logs: Path | None, older_version: Path | None
) -> bool:
    """Run the cases one after another. Return whether all of them passed."""
    cancel_on_signals()
    example = example_directory()
    await asyncio.to_thread(build_model, example)
    passed = True
    for case in cases:
        try:
            result = await run_case(case, example, logs, older_version=older_version)
        except StageError as error:
            print(f"{case.name:32}{'not run':>12}    {error}", flush=True)
            document: dict[str, Any] = {"notRun": str(error)}
        else:
            print(terminal_line(case, result), flush=True)
            document = result.document()
        await asyncio.to_thread(store.add, case.name, document)
        passed = passed and is_passed(case, document)
    return passed


def is_passed(case: Case, document: dict[str, Any]) -> bool:
    """Return whether the case ended, and lost only requests that Dynamo itself loses."""
    ended = document.get("seconds") is not None
    return ended and (document["failed"] == document["joining"] or bool(case.reason))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the selected cases, store their results, write the page and return the exit code."""
    namespace = options(arguments)
    if namespace.list:
        for case in namespace.selected:
            print(f"{case.name:34}{case.description}")
        return 0
    started = time.monotonic()
    store = Store(namespace.results, namespace.before)
    if namespace.page_only:
        write_page(store.read())
        return 0
    try:
        passed = asyncio.run(
            run_cases(namespace.selected, store, namespace.logs, namespace.older_version)
        )
    except asyncio.CancelledError:
        print("interrupted; everything that was started is stopped")
        return 130
    if not namespace.no_page:
        write_page(store.read())
    print(f"{len(namespace.selected)} cases in {(time.monotonic() - started) / 60:.1f} minutes")
    return 0 if passed else 1


def write_page(stored: dict[str, Any]) -> None:
    """Write the page and its picture from the stored results."""
    (OUT / "rollouts.md").write_text(page(stored))
    if PICTURED in stored.get("cases", {}):
        draw(stored["cases"][PICTURED], OUT / "rollouts.png", PICTURED)


if __name__ == "__main__":
    sys.exit(main())
