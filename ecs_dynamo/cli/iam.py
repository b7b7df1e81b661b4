"""`ecs-dynamo iam render`: the least rights that the graphs of one daemon need."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.options import DEFAULT_FILE, load
from ecs_dynamo.console import (
    print_json,
    say,
)
from ecs_dynamo.iam.daemon_task import (
    LOG_GROUP,
    REPOSITORY,
)
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem
from ecs_dynamo.model.graph import Graph

app = typer.Typer(
    no_args_is_help=True, help="IAM policies for the graphs of a daemon.", rich_markup_mode=None
)


@app.command()
def render(
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="A graph file; give it again for more graphs."),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="AWS account id; AWS_ID by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the documents to this folder.")
    ] = None,
    lock_table: Annotated[
        str | None, typer.Option("--lease-table", help="DynamoDB table of the daemon's lease.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option("--event-queue", help="SQS queue of ECS's events (its name).")
    ] = None,
    repository: Annotated[
        str, typer.Option("--daemon-repository", help="ECR repository of the daemon's image.")
    ] = REPOSITORY,
    log_group: Annotated[
        str, typer.Option("--daemon-log-group", help="Log group of the daemon's own task.")
    ] = LOG_GROUP,
) -> None:
    """Print, or write, the policies of the daemon, the tasks and the instances.

    A policy that is too large for IAM comes as several documents (name.json, name-2.json), which
    are all attached to the same role.
    """
    graphs = [load(one).graph for one in file or [DEFAULT_FILE]]
    number = account or os.environ.get("AWS_ID", "")
    if not re.fullmatch(r"\d{12}", number):
        raise InputError(
            Problem(
                f"{number!r} is no AWS account id" if number else "the AWS account is not known",
                field="--account",
                remedy="give --account with 12 digits, or set AWS_ID",
            )
        )
    if queue is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", queue):
        raise InputError(
            Problem(
                f"{queue!r} is no name of an SQS standard queue",
                field="--event-queue",
                remedy="give the name alone: letters, digits, hyphens, underscores",
            )
        )
    region = _region(graphs, file or [DEFAULT_FILE])
    documents = render_iam(graphs, region, number, lock_table, queue, (repository, log_group))
    if output is None:
        print_json(documents)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            (output / name).write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise EcsDynamoError(f"{output}: can not be written: {error.strerror}") from None
    say(f"wrote {len(documents)} documents to {output}")


def _region(graphs: list[Graph], files: list[Path]) -> str:
    """The Region of all the graphs. Raises InputError where there is none, or more than one."""
    for graph, file in zip(graphs, files, strict=True):
        found = None
        if graph.region is None:
            found = "no region"
        elif graph.region != graphs[0].region:
            found = f"{graph.region} is not the Region of {files[0]}, {graphs[0].region}"
        if found is not None:
            remedy = "set region in the file; render the graphs of each Region apart"
            raise InputError(Problem(found, file=str(file), field="region", remedy=remedy))
    return str(graphs[0].region)


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.add_typer(app, name="iam")
