"""`ecs-dynamo down`: take a graph down, dependants first."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    EndpointUrlOption,
    FileOption,
    JsonOption,
    LogLevelOption,
    ProfileOption,
    RegionOption,
    TimeoutOption,
    load,
    settings_for,
)
from ecs_dynamo.cli.progress import Progress
from ecs_dynamo.cli.reconcile import outcome
from ecs_dynamo.config import Settings
from ecs_dynamo.console import (
    print_json,
    say,
)
from ecs_dynamo.controller import Pass, open_reconciler
from ecs_dynamo.model.errors import ExitCode, InputError, Problem
from ecs_dynamo.model.graph import Graph


async def _down(graph: Graph, settings: Settings, timeout: float, progress: Progress) -> Pass:
    async with open_reconciler(graph, settings) as reconciler:
        return await reconciler.until_converged(timeout, progress, taking_down=True)


def down(
    file: FileOption = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: TimeoutOption = 600.0,
    as_json: JsonOption = False,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Delete the graph's services. Only what carries its ownership tag is touched."""
    settings = settings_for(
        endpoint_url=endpoint_url, profile=profile, region=region, log_level=log_level
    )
    graph = load(file).graph
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(
                Problem("down deletes services and can not ask here", remedy="add --yes")
            )
        typer.confirm(f"Delete every service of graph {graph.name}?", abort=True)
    progress = Progress(quiet=as_json)
    done = asyncio.run(_down(graph, settings, timeout, progress))
    code = outcome(done)
    if as_json:
        print_json({"graph": graph.name, "down": done.converged, "exitCode": int(code)})
    elif code is ExitCode.OK:
        for note in done.plan.notes:
            say(f"left alone: {note}", style="dim")
        say(f"graph {graph.name} is down after {progress.seconds:.1f} s", style="bold green")
    else:
        for wait in done.plan.waits:
            say(f"still waiting: {wait.component}: {wait.reason}", style="yellow", stderr=True)
    raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(down)
