"""Options that several commands share, each defined once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ecs_dynamo.config import LoadedGraph, Settings, load_graph, load_settings
from ecs_dynamo.controller import configure_logging

DEFAULT_FILE = Path("ecs-dynamo.yaml")

FileOption = Annotated[
    Path, typer.Option("--file", "-f", help="The graph file.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
EndpointUrlOption = Annotated[
    str | None, typer.Option("--endpoint-url", help="Another AWS endpoint, as in the AWS CLI.")
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="AWS profile.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="AWS Region.")]
LogLevelOption = Annotated[
    str | None, typer.Option("--log-level", help="debug, info, warning or error.")
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.0, help="Seconds to wait for convergence.")
]


def settings_for(quiet: bool = True, **overrides: Any) -> Settings:
    """Settings from the environment and flags, with logging set up.

    One-shot commands tell their own story: they log warnings only, unless asked for more.
    """
    environ = dict(os.environ)
    if quiet and overrides.get("log_level") is None and "ECS_DYNAMO_LOG_LEVEL" not in environ:
        overrides["log_level"] = "error"
    settings = load_settings(environ, **overrides)
    configure_logging(settings)
    return settings


def load(file: Path) -> LoadedGraph:
    """The graph file, with the process's environment for its variables."""
    return load_graph(file, dict(os.environ))
