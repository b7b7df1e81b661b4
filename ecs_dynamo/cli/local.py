"""`ecs-dynamo local`: an ECS API on this machine that runs containers as processes."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecs_dynamo.cli.extras import require_local_extra
from ecs_dynamo.cli.options import load_command_settings
from ecs_dynamo.common.cancellation import cancel_on_signals
from ecs_dynamo.console import say
from ecs_dynamo.model.errors import InputError, Problem

if TYPE_CHECKING:
    from ecs_dynamo.local import LocalEcs

DEFAULT_PORT = 4566


def local(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1.")
    ] = DEFAULT_PORT,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Table that maps images to local commands; that of the example by default.",
            show_default=False,
        ),
    ] = None,
    gpu_instances: Annotated[
        int, typer.Option("--gpu-instances", min=0, help="Number of GPU instances at the start.")
    ] = 4,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPU slots per instance.")] = 1,
    directory: Annotated[
        Path, typer.Option("--directory", help="Folder for container logs and data.")
    ] = Path("local-ecs"),
) -> None:
    """Serve the ECS API on this machine until Ctrl-C. The AWS CLI works with --endpoint-url.

    Without --images, the example's table is copied to the folder and its model is built there.
    """
    require_local_extra()
    from ecs_dynamo.demo.example import unpack_example
    from ecs_dynamo.local import serve
    from ecs_dynamo.local.runtime import ImageTableError

    load_command_settings()
    table = unpack_example(directory / "example") / "images.yaml" if images is None else images

    def ready(server: LocalEcs) -> None:
        say(f"local ECS: {server.endpoint_url}  (aws --endpoint-url {server.endpoint_url} ecs ...)")

    async def until_stopped() -> None:
        cancel_on_signals()
        with suppress(asyncio.CancelledError):
            await serve(table, directory, "127.0.0.1", port, gpu_instances, gpus, ready)

    try:
        asyncio.run(until_stopped())
    except ImageTableError as error:
        raise InputError(
            Problem(
                str(error), field="--images", remedy="correct the table; see examples/local/README"
            )
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                Problem(
                    f"127.0.0.1:{port} is in use by another program",
                    field="--port",
                    remedy="stop that program, or choose another port",
                )
            ) from None
        where = error.filename or directory
        raise InputError(
            Problem(f"{where}: {error.strerror or error}", field="--directory")
        ) from None


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(local)
