"""`ecs-dynamo rollback`: back to the revision before, and held there."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    EndpointUrlOption,
    FileOption,
    LogLevelOption,
    ProfileOption,
    RegionOption,
    load,
    settings_for,
)
from ecs_dynamo.config import Settings
from ecs_dynamo.console import (
    plan_line,
    say,
)
from ecs_dynamo.controller import open_reconciler
from ecs_dynamo.controller.reconcile.rollback import (
    RolledBack,
    clear_rollback,
    roll_back,
)
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem
from ecs_dynamo.model.graph import Graph


async def _run(
    graph: Graph, settings: Settings, component: str, number: int | None, clear: bool
) -> RolledBack | None:
    async with open_reconciler(graph, settings, "rollback") as reconciler:
        if clear:
            await clear_rollback(reconciler, component)
            return None
        return await roll_back(reconciler, component, number)


def rollback(
    component: Annotated[str, typer.Argument(help="Which component of the graph.")],
    file: FileOption = DEFAULT_FILE,
    to: Annotated[
        int | None, typer.Option("--to", min=1, help="Number of the revision to go back to.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Let the declared revision roll out again.")
    ] = False,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Set a component back to its former revision, with the endpoints of now.

    The declared one is held back, by this and every other daemon, until the declaration changes.
    """
    settings = settings_for(
        endpoint_url=endpoint_url, profile=profile, region=region, log_level=log_level
    )
    graph = load(file).graph
    names = [c.name for c in graph.components]
    if component not in names:
        raise InputError(
            Problem(
                f"the graph has no component {component}",
                file=str(file),
                field="COMPONENT",
                remedy=f"name one of {', '.join(names)}",
            )
        )
    done = asyncio.run(_run(graph, settings, component, to, clear))
    if done is None:
        say(f"{component}: no longer held back; the next pass rolls what is declared")
        return
    for line in done.changes:
        plan_line(f"  {line}")
    if done.error is not None:
        raise EcsDynamoError(f"{component}: {done.error}")
    say(
        f"{component}: {done.before} -> content of {done.after}; held until the declaration "
        "changes, or `ecs-dynamo rollback --clear`",
        style="green",
    )


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(rollback)
