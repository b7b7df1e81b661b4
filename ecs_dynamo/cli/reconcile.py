"""`ecs-dynamo reconcile`: repeat passes until the graph has converged."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    CommonFlags,
    FileOption,
    JsonOption,
    TimeoutOption,
    load_command_settings,
    load_graph_file,
    with_common_flags,
)
from ecs_dynamo.cli.plan import show_plan
from ecs_dynamo.cli.progress import Progress, exit_code_of, print_waits
from ecs_dynamo.config import Settings
from ecs_dynamo.console import print_json, print_warnings, say
from ecs_dynamo.controller import Pass, open_reconciler, pass_status
from ecs_dynamo.model.errors import ExitCode
from ecs_dynamo.model.graph import Graph


async def _reconcile(
    graph: Graph, settings: Settings, timeout: float, progress: Progress
) -> tuple[Pass, int, int]:
    """Return the last pass, and the numbers of reads and writes of AWS."""
    async with open_reconciler(graph, settings) as reconciler:
        last_pass = await reconciler.until_converged(timeout, progress)
        return last_pass, reconciler.aws.reads, reconciler.aws.writes


def _explain(last_pass: Pass, seconds: float) -> None:
    """Print why the graph has not converged."""
    for result in last_pass.failed:
        say(f"failed: {result.action.component}: {result.error}", style="red", stderr=True)
    print_waits(last_pass)
    for problem in last_pass.unknown:
        say(f"observation failed: {problem}", style="red", stderr=True)
    say(f"not converged after {seconds:.0f} s", style="red", stderr=True)


@with_common_flags
def reconcile(
    flags: CommonFlags,
    file: FileOption = DEFAULT_FILE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
    timeout: TimeoutOption = 900.0,
    as_json: JsonOption = False,
) -> None:
    """Make AWS match the graph file, and wait until it does.

    Exit codes: 0 converged; 1 AWS refused a change or could not be reached, or a rollout failed;
    2 invalid input; 3 not converged before the timeout.
    """
    settings = load_command_settings(flags)
    if dry_run:
        show_plan(file, settings, as_json=as_json)
        return
    loaded = load_graph_file(file)
    print_warnings(loaded.warnings)
    progress = Progress(quiet=as_json)
    last_pass, reads, writes = asyncio.run(_reconcile(loaded.graph, settings, timeout, progress))
    code = exit_code_of(last_pass)
    if as_json:
        print_json(
            {
                **pass_status(loaded.graph, last_pass),
                "seconds": round(progress.seconds, 3),
                "reads": reads,
                "writes": writes,
                "exitCode": int(code),
            }
        )
    elif code is ExitCode.OK:
        endpoints = last_pass.plan.endpoints
        say(
            f"graph {loaded.graph.name} converged in {progress.seconds:.1f} s "
            f"({writes} writes, {reads} reads); etcd {endpoints.etcd}, nats {endpoints.nats}",
            style="bold green",
        )
    else:
        _explain(last_pass, progress.seconds)
    raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(reconcile)
