"""`ecs-dynamo reconcile`: the daemon's pass, until converged."""

from __future__ import annotations

import asyncio
from pathlib import Path
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
from ecs_dynamo.cli.plan import show_plan
from ecs_dynamo.cli.progress import Progress
from ecs_dynamo.config import Settings
from ecs_dynamo.console import (
    print_json,
    print_warnings,
    say,
)
from ecs_dynamo.controller import Pass, open_reconciler, pass_status
from ecs_dynamo.model.errors import ExitCode
from ecs_dynamo.model.graph import Graph


async def _reconcile(
    graph: Graph, settings: Settings, timeout: float, progress: Progress
) -> tuple[Pass, int, int]:
    async with open_reconciler(graph, settings) as reconciler:
        done = await reconciler.until_converged(timeout, progress)
        return done, reconciler.aws.reads, reconciler.aws.writes


def outcome(done: Pass) -> ExitCode:
    """Converged, failed (refused by AWS, given up by ECS, not seen), or not there yet."""
    if done.converged:
        return ExitCode.OK
    failed = done.failed or done.unknown or done.plan.stuck
    return ExitCode.FAILED if failed else ExitCode.NOT_CONVERGED


def reconcile(
    file: FileOption = DEFAULT_FILE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
    timeout: TimeoutOption = 900.0,
    as_json: JsonOption = False,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Make AWS match the graph file, and wait until it does.

    Exit codes: 0 converged, 1 AWS refused or could not be reached, 2 invalid file, 3 not
    converged before the timeout.
    """
    settings = settings_for(
        endpoint_url=endpoint_url, profile=profile, region=region, log_level=log_level
    )
    if dry_run:
        show_plan(file, settings, as_json)
        return
    loaded = load(Path(file))
    print_warnings(loaded.warnings)
    progress = Progress(quiet=as_json)
    done, reads, writes = asyncio.run(_reconcile(loaded.graph, settings, timeout, progress))
    code = outcome(done)
    if as_json:
        print_json(
            {
                **pass_status(loaded.graph, done),
                "seconds": round(progress.seconds, 3),
                "reads": reads,
                "writes": writes,
                "exitCode": int(code),
            }
        )
    elif code is ExitCode.OK:
        ends = done.plan.endpoints
        say(
            f"graph {loaded.graph.name} converged in {progress.seconds:.1f} s "
            f"({writes} writes, {reads} reads); etcd {ends.etcd}, nats {ends.nats}",
            style="bold green",
        )
    else:
        for result in done.failed:
            say(f"failed: {result.action.component}: {result.error}", style="red", stderr=True)
        for wait in done.plan.waits:
            say(f"still waiting: {wait.component}: {wait.reason}", style="yellow", stderr=True)
        for problem in done.unknown:
            say(f"not observed: {problem}", style="red", stderr=True)
        say(f"not converged after {progress.seconds:.0f} s", style="red", stderr=True)
    raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(reconcile)
