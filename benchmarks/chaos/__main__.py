"""Inject every fault, one after another: `make chaos`, or `python -m benchmarks.chaos --seed 7`.

The exit code is 1 if a request was lost in a fault that Dynamo can survive, an invariant was
violated, the graph did not recover in time, or there was not enough time for all faults.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks.chaos.campaign import CampaignResult, FaultResult, run_campaign
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.report import heading, page, terminal_line
from benchmarks.command_line import select
from ecs_dynamo.common.cancellation import cancel_on_signals
from ecs_dynamo.demo.example import build_model, example_directory

HEAD = Path(__file__).parent / "HEAD.md"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; a pattern that matches no fault ends the program."""
    parser = argparse.ArgumentParser("python -m benchmarks.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1, help="random seed of the order, the timing and the victims"
    )
    parser.add_argument(
        "--faults", nargs="+", default=["*"], metavar="NAME", help="names, or patterns such as API*"
    )
    parser.add_argument(
        "--minutes", type=float, default=29.0, help="minutes after which no further fault begins"
    )
    parser.add_argument("--page", type=Path, help="file to write the page to")
    parser.add_argument("--logs", type=Path, help="folder to keep the logs of failures in")
    parser.add_argument("--list", action="store_true", help="list the faults and exit")
    namespace = parser.parse_args(arguments)
    namespace.selected = select(FAULTS, namespace.faults)
    if not namespace.selected:
        parser.error("no fault has such a name; see --list")
    return namespace


def main() -> int:
    """Run the campaign and return the exit code."""
    arguments = options()
    if arguments.list:
        for fault in arguments.selected:
            print(f"{fault.name:32}{fault.description}")
        return 0
    example = example_directory()
    build_model(example)
    print(f"seed {arguments.seed}\n{heading()}", flush=True)

    def report(result: FaultResult) -> None:
        print(terminal_line(result), flush=True)

    async def campaign() -> CampaignResult:
        cancel_on_signals()
        return await run_campaign(
            arguments.selected,
            arguments.seed,
            arguments.minutes * 60,
            example,
            arguments.logs,
            report,
        )

    try:
        result = asyncio.run(campaign())
    except asyncio.CancelledError:
        print("interrupted; everything that was started is stopped")
        return 130
    for fault in result.not_run:
        print(f"not run, for lack of time: {fault.name}")
    if arguments.page is not None:
        arguments.page.write_text(page(result, HEAD.read_text()))
    print(f"{len(result.results)} faults in {result.seconds / 60:.1f} minutes: ", end="")
    print("passed" if result.passed else "FAILED")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
