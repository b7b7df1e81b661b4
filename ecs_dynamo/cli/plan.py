"""`ecs-dynamo plan`: the pass without acting."""

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
    load,
    settings_for,
)
from ecs_dynamo.config import Settings
from ecs_dynamo.console import (
    plan_line,
    print_json,
    print_warnings,
    say,
)
from ecs_dynamo.controller import Pass, open_reconciler, plan_document
from ecs_dynamo.model.errors import EcsDynamoError, ExitCode
from ecs_dynamo.planning import describe


async def _look(file: Path, settings: Settings) -> Pass:
    loaded = load(file)
    print_warnings(loaded.warnings)
    async with open_reconciler(loaded.graph, settings) as reconciler:
        return await reconciler.run_pass(act=False)


def show_plan(file: Path, settings: Settings, as_json: bool) -> Pass:
    """Observe and print the plan. EcsDynamoError where not everything could be observed."""
    done = asyncio.run(_look(file, settings))
    if as_json:
        print_json(plan_document(done.plan, done.snapshot))
    elif done.converged:
        say(f"graph {done.plan.graph} is converged: nothing to do")
        for note in done.plan.notes:
            plan_line(f"note: {note}")
    else:
        for line in describe(done.plan, done.snapshot):
            plan_line(line)
    if done.unknown:
        raise EcsDynamoError("not everything could be observed: " + "; ".join(done.unknown))
    return done


def plan(
    file: FileOption = DEFAULT_FILE,
    as_json: JsonOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 where there are changes.")
    ] = False,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Show what a pass would do now, and why. Changes nothing."""
    settings = settings_for(
        endpoint_url=endpoint_url, profile=profile, region=region, log_level=log_level
    )
    done = show_plan(file, settings, as_json)
    if exit_code and done.plan.actions:
        raise typer.Exit(ExitCode.CHANGES)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(plan)
