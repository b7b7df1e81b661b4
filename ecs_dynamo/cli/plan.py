"""`ecs-dynamo plan`: one pass without its actions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    CommonFlags,
    FileOption,
    JsonOption,
    load_command_settings,
    load_graph_file,
    with_common_flags,
)
from ecs_dynamo.config import Settings
from ecs_dynamo.console import plan_line, print_json, print_warnings, say
from ecs_dynamo.controller import Pass, open_reconciler, plan_document
from ecs_dynamo.model.errors import EcsDynamoError, ExitCode
from ecs_dynamo.planning import describe


async def _run_dry(file: Path, settings: Settings) -> Pass:
    loaded = load_graph_file(file)
    print_warnings(loaded.warnings)
    async with open_reconciler(loaded.graph, settings) as reconciler:
        return await reconciler.run_pass(act=False)


def show_plan(file: Path, settings: Settings, *, as_json: bool) -> Pass:
    """Observe, and print the plan. Raises EcsDynamoError when the observation is incomplete."""
    dry = asyncio.run(_run_dry(file, settings))
    if as_json:
        print_json(plan_document(dry.plan, dry.snapshot))
    elif dry.converged:
        say(f"graph {dry.plan.graph} is converged: nothing to do")
        for note in dry.plan.notes:
            plan_line(f"note: {note}")
    else:
        for line in describe(dry.plan, dry.snapshot):
            plan_line(line)
    if dry.unknown:
        raise EcsDynamoError("not everything could be observed: " + "; ".join(dry.unknown))
    return dry


@with_common_flags
def plan(
    flags: CommonFlags,
    file: FileOption = DEFAULT_FILE,
    as_json: JsonOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 if there are changes.")
    ] = False,
) -> None:
    """Show the changes that a pass would make now. Each has its reason; none is made."""
    dry = show_plan(file, load_command_settings(flags), as_json=as_json)
    if exit_code and dry.plan.actions:
        raise typer.Exit(ExitCode.CHANGES)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(plan)
