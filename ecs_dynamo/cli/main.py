"""The command line's entry point: errors become one message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

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
from ecs_dynamo.console import say
from ecs_dynamo.model.errors import EcsDynamoError, ExitCode

_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)

app = typer.Typer(
    name="ecs-dynamo",
    help="Run NVIDIA Dynamo on AWS ECS: deploy, connect and scale a declared graph.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(requested: bool) -> None:
    if requested:
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
    """Run the command line and exit with an `ExitCode`.

    A traceback is shown only with ECS_DYNAMO_DEBUG=1.
    """
    # The parent process closed them. Without a replacement, the next file that is opened would
    # receive their descriptor, and the output with it.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (open until the end)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        try:
            app(args=arguments)
        finally:
            # Flush here: at interpreter shutdown a full disk could no longer be reported.
            sys.stdout.flush()
    except EcsDynamoError as error:
        for line in str(error).splitlines():
            _print_error(f"error: {line}", style="red")
        _leave(error.exit_code)
    except KeyboardInterrupt:
        _print_error("interrupted")
        _leave(130)
    except BrokenPipeError:
        # The reader has left (`| head`), which is not an error to report.
        _leave(ExitCode.FAILED)
    except Exception as error:
        if os.environ.get("ECS_DYNAMO_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _NO_OUTPUT:
            _print_error(f"error: the output cannot be written: {error.strerror}", style="red")
            _leave(ExitCode.FAILED)
        _print_error(
            f"error: {type(error).__name__}: {error} (this is a bug in ecs-dynamo: run it again "
            "with ECS_DYNAMO_DEBUG=1 and report the traceback)",
            style="red",
        )
        _leave(ExitCode.FAILED)


def _print_error(text: str, style: str | None = None) -> None:
    """Print to standard error, or nowhere when it cannot be written to."""
    with suppress(OSError, ValueError):
        say(text, style=style, stderr=True)


def _leave(code: int) -> NoReturn:
    """Exit with ``code``, even when buffered output can no longer be delivered."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
