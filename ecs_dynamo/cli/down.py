"""`ecs-dynamo down`: delete the services of a graph, dependants first."""

from __future__ import annotations

import asyncio
import sys
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
from ecs_dynamo.cli.progress import Progress, exit_code_of, print_waits
from ecs_dynamo.config import Settings
from ecs_dynamo.console import print_json, say
from ecs_dynamo.controller import Pass, open_reconciler
from ecs_dynamo.model.errors import ExitCode, InputError, Problem
from ecs_dynamo.model.graph import Graph


async def _take_down(graph: Graph, settings: Settings, timeout: float, progress: Progress) -> Pass:
    async with open_reconciler(graph, settings) as reconciler:
        return await reconciler.until_converged(timeout, progress, taking_down=True)


@with_common_flags
def down(
    flags: CommonFlags,
    file: FileOption = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
    timeout: TimeoutOption = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Delete the graph's services. Only services with its ownership tag are touched."""
    settings = load_command_settings(flags)
    graph = load_graph_file(file).graph
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(
                Problem(
                    "refusing to delete services without confirmation: stdin is not a terminal",
                    remedy="add --yes",
                )
            )
        typer.confirm(f"Delete all services of graph {graph.name}?", abort=True)
    progress = Progress(quiet=as_json)
    last_pass = asyncio.run(_take_down(graph, settings, timeout, progress))
    code = exit_code_of(last_pass)
    if as_json:
        print_json({"graph": graph.name, "down": last_pass.converged, "exitCode": int(code)})
    elif code is ExitCode.OK:
        for note in last_pass.plan.notes:
            say(f"not deleted: {note}", style="dim")
        say(f"graph {graph.name} is down after {progress.seconds:.1f} s", style="bold green")
    else:
        print_waits(last_pass)
    raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(down)
