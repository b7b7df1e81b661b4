"""`ecs-dynamo run`: the daemon."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    EndpointUrlOption,
    LogLevelOption,
    ProfileOption,
    RegionOption,
    settings_for,
)
from ecs_dynamo.controller import run_daemon


def run(
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="A graph file; give it again for more graphs."),
    ] = None,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    log_level: LogLevelOption = None,
    http_port: Annotated[
        int | None, typer.Option("--http-port", help="Port of /metrics, /status and the page.")
    ] = None,
) -> None:
    """Keep graphs in sync for ever. SIGTERM ends it cleanly, SIGHUP looks again at once."""
    settings = settings_for(
        quiet=False,
        endpoint_url=endpoint_url,
        profile=profile,
        region=region,
        log_level=log_level,
        http_port=http_port,
    )
    asyncio.run(run_daemon(file or [DEFAULT_FILE], dict(os.environ), settings))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(run)
