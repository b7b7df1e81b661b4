"""`make chaos`: every fault, one after another: `python -m benchmarks.chaos --seed 7`.

Exit code 1 where a request was lost in a fault that Dynamo can survive, an invariant was violated,
the graph did not recover in time, or there was no time for all.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import signal
import sys
from pathlib import Path

from benchmarks.chaos.campaign import Result, Row, run_campaign
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.report import heading, page, terminal_line
from ecs_dynamo.demo.example import build_model, example_directory

HEAD = Path(__file__).parent / "HEAD.md"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "chaos.md"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line says. A pattern that names no fault ends the program."""
    parser = argparse.ArgumentParser("python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="order, moments and victims")
    parser.add_argument(
        "--faults", nargs="+", default=["*"], metavar="NAME", help="names, or patterns such as API*"
    )
    parser.add_argument("--minutes", type=float, default=29.0, help="no fault begins after these")
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--logs", type=Path, help="where to keep logs if something goes wrong")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    given = parser.parse_args(arguments)
    given.chosen = [
        fault
        for name, fault in FAULTS.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in given.faults)
    ]
    if not given.chosen:
        parser.error("no fault is called so; see --list")
    return given


def main() -> int:
    """Run; the exit code."""
    given = options()
    if given.list:
        for fault in given.chosen:
            print(f"{fault.name:32}{fault.what}")
        return 0
    example = example_directory()
    build_model(example)
    print(f"seed {given.seed}\n{heading()}", flush=True)

    def tell(row: Row) -> None:
        print(terminal_line(row), flush=True)

    async def campaign() -> Result:
        """Ctrl-C and SIGTERM end it early; no process is left behind either way."""
        me = asyncio.current_task()
        if me is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, me.cancel)
        return await run_campaign(
            given.chosen, given.seed, given.minutes * 60, example, given.logs, tell
        )

    try:
        result = asyncio.run(campaign())
    except asyncio.CancelledError:
        print("interrupted; everything that was started is stopped")
        return 130
    for fault in result.left_out:
        print(f"not run, for lack of time: {fault.name}")
    if given.page is not None:
        given.page.write_text(page(result, HEAD.read_text()))
    print(f"{len(result.rows)} faults in {result.seconds / 60:.1f} minutes: ", end="")
    print("fine" if result.fine else "NOT fine")
    return 0 if result.fine else 1


if __name__ == "__main__":
    sys.exit(main())
