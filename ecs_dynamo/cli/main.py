"""The command line: one file a command; errors become one message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ecs_dynamo import __version__
from ecs_dynamo.cli import (
    demo,
    doctor,
    down,
    iam,
    init,
    local,
    plan,
    reconcile,
    rollback,
    run,
    schema,
    simulate,
    status,
    validate,
)
from ecs_dynamo.cli.output import say
from ecs_dynamo.model.errors import EcsDynamoError, ExitCode

app = typer.Typer(
    name="ecs-dynamo",
    help="Runs NVIDIA Dynamo on AWS ECS: keeps a declared graph in sync, wired up and scaled.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        say(f"ecs-dynamo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version


for _module in (
    init,
    validate,
    doctor,
    plan,
    reconcile,
    rollback,
    run,
    status,
    down,
    schema,
    iam,
    simulate,
    demo,
    local,
):
    _module.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exits with `ExitCode`; a traceback is shown only with ECS_DYNAMO_DEBUG=1."""
    try:
        app(args=arguments)
    except EcsDynamoError as error:
        for line in str(error).splitlines():
            say(f"error: {line}", style="red", stderr=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted", stderr=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader has left (`| head`): nothing more to say, and nothing to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.FAILED)
    except Exception as error:
        if os.environ.get("ECS_DYNAMO_DEBUG"):
            raise
        say(
            f"error: {type(error).__name__}: {error} (this is a bug in ecs-dynamo: run again with "
            "ECS_DYNAMO_DEBUG=1 and report what it shows)",
            style="red",
            stderr=True,
        )
        sys.exit(ExitCode.FAILED)
