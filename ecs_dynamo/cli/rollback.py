"""`ecs-dynamo rollback`: return a component to a previous revision and keep it there."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    CommonFlags,
    FileOption,
    load_command_settings,
    load_graph_file,
    with_common_flags,
)
from ecs_dynamo.config import Settings
from ecs_dynamo.console import plan_line, say
from ecs_dynamo.controller import RolledBack, clear_rollback, open_reconciler, roll_back
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem
from ecs_dynamo.model.graph import Graph


async def _roll_back(
    graph: Graph, settings: Settings, component: str, number: int | None
) -> RolledBack:
    async with open_reconciler(graph, settings, "rollback") as reconciler:
        return await roll_back(reconciler, component, number)


async def _clear(graph: Graph, settings: Settings, component: str) -> None:
    async with open_reconciler(graph, settings, "rollback") as reconciler:
        await clear_rollback(reconciler, component)


@with_common_flags
def rollback(
    flags: CommonFlags,
    component: Annotated[str, typer.Argument(help="Name of the component.")],
    file: FileOption = DEFAULT_FILE,
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            min=1,
            help="Revision number to return to; the newest different one by default.",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="End the hold: roll out the declared revision again.")
    ] = False,
) -> None:
    """Return a component to a previous revision.

    It receives the current etcd and NATS endpoints. The declared revision is put on hold for every
    daemon until its declaration changes. If a worker's previous revision belongs to another
    generation, all workers return to that generation.
    """
    settings = load_command_settings(flags)
    graph = load_graph_file(file).graph
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
    if clear:
        asyncio.run(_clear(graph, settings, component))
        say(f"{component}: no longer on hold; the next pass rolls out the declared revision")
        return
    outcome = asyncio.run(_roll_back(graph, settings, component, to))
    for line in outcome.changes:
        plan_line(f"  {line}")
    if outcome.error is not None:
        raise EcsDynamoError(f"{component}: {outcome.error}")
    if outcome.is_generation:
        say(
            f"generation {outcome.before} of the workers is withdrawn, and {outcome.after} serves "
            "again; it is on hold until a worker's declaration changes, or until "
            f"`ecs-dynamo rollback {component} --clear`",
            style="green",
        )
        return
    say(
        f"{component}: {outcome.before} -> content of {outcome.after}; on hold until the "
        "declaration changes, or until `ecs-dynamo rollback --clear`",
        style="green",
    )


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(rollback)
