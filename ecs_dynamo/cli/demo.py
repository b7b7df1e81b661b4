"""`ecs-dynamo demo`: deploy, move, scale and delete a real graph on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.extras import require_local_extra
from ecs_dynamo.cli.options import load_command_settings
from ecs_dynamo.console import say
from ecs_dynamo.model.errors import ExitCode


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the timeline picture and logs.")
    ] = Path("demo-output"),
    example: Annotated[
        Path | None, typer.Option("--example", help="Folder of the example graph.")
    ] = None,
) -> None:
    """Run a real Dynamo graph on the local ECS.

    Deploys it, moves its etcd, scales it out and in, and deletes it.
    """
    require_local_extra()
    from ecs_dynamo.demo import run_demo

    load_command_settings()
    try:
        succeeded = asyncio.run(run_demo(output, example))
    except asyncio.CancelledError:
        say("interrupted; all started processes are stopped", stderr=True)
        raise typer.Exit(130) from None
    raise typer.Exit(ExitCode.OK if succeeded else ExitCode.FAILED)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(demo)
