"""`ecs-dynamo run`: the daemon."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    CommonFlags,
    FilesOption,
    load_command_settings,
    with_common_flags,
)
from ecs_dynamo.controller import run_daemon


@with_common_flags
def run(
    flags: CommonFlags,
    file: FilesOption = None,
    http_port: Annotated[
        int | None,
        typer.Option("--http-port", help="Port of /metrics, /status and the status page."),
    ] = None,
) -> None:
    """Reconcile graphs continuously. SIGTERM stops cleanly; SIGHUP reconciles immediately."""
    settings = load_command_settings(flags, quiet=False, http_port=http_port)
    asyncio.run(run_daemon(file or [DEFAULT_FILE], dict(os.environ), settings))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(run)
