"""`ecs-dynamo demo`: the main job, for real, on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.local import need_local_extra
from ecs_dynamo.cli.options import settings_for
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
    """Bring a real Dynamo graph up on the local ECS, move its etcd, scale it, take it down."""
    need_local_extra()
    from ecs_dynamo.demo import run_demo

    settings_for()
    try:
        fine = asyncio.run(run_demo(output, example))
    except asyncio.CancelledError:
        say("interrupted; everything that was started is stopped", stderr=True)
        raise typer.Exit(130) from None
    raise typer.Exit(ExitCode.OK if fine else ExitCode.FAILED)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(demo)
