"""Options that several commands share, and the one way to load settings and graph files."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ecs_dynamo.config import LoadedGraph, Settings, load_graph, load_settings
from ecs_dynamo.controller import configure_logging

DEFAULT_FILE = Path("ecs-dynamo.yaml")

FileOption = Annotated[Path, typer.Option("--file", "-f", help="Path of the graph file.")]
FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--file",
        "-f",
        help="Path of a graph file (may be repeated).",
        show_default=str(DEFAULT_FILE),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.0, help="Seconds to wait for convergence.")
]


@dataclass(frozen=True, slots=True)
class CommonFlags:
    """The flags of every command that calls AWS. None leaves a setting to the environment."""

    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", help="AWS endpoint, as in the AWS CLI.")
    ] = None
    profile: Annotated[str | None, typer.Option("--profile", help="AWS profile.")] = None
    region: Annotated[str | None, typer.Option("--region", help="AWS Region.")] = None
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="One of debug, info, warning, error.")
    ] = None


NO_FLAGS = CommonFlags()


def with_common_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the common flags to a command, which receives them as its first argument."""
    _, *own = _parameters(command)
    common = _parameters(CommonFlags)

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        flags = CommonFlags(**{flag.name: arguments.pop(flag.name) for flag in common})
        command(flags, **arguments)

    # Typer reads the options of a command from its signature and annotations.
    parameters = [*own, *common]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # of functions
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameters(command: Callable[..., object]) -> list[inspect.Parameter]:
    """Return the parameters of a callable as keywords, with evaluated annotations."""
    target = command.__init__ if inspect.isclass(command) else command
    hints = get_type_hints(target, include_extras=True)
    return [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
    ]


def load_command_settings(
    flags: CommonFlags = NO_FLAGS, *, quiet: bool = True, **overrides: Any
) -> Settings:
    """Load the settings from the environment and the flags, and set up logging.

    With ``quiet`` only errors are logged unless the user asks for more: one-shot commands print
    their own progress.
    """
    environ = dict(os.environ)
    values = {field.name: getattr(flags, field.name) for field in fields(flags)} | overrides
    if quiet and values["log_level"] is None and "ECS_DYNAMO_LOG_LEVEL" not in environ:
        values["log_level"] = "error"
    settings = load_settings(environ, **values)
    configure_logging(settings)
    return settings


def load_graph_file(file: Path) -> LoadedGraph:
    """Load a graph file, with variables from the environment of this process."""
    return load_graph(file, dict(os.environ))
