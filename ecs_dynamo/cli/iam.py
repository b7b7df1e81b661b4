"""`ecs-dynamo iam render`: IAM documents with the permissions that the graphs of a daemon need."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from ecs_dynamo.cli.options import DEFAULT_FILE, FilesOption, load_graph_file
from ecs_dynamo.console import print_json, say
from ecs_dynamo.iam.daemon_task import LOG_GROUP, REPOSITORY
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem
from ecs_dynamo.model.graph import Graph

app = typer.Typer(
    no_args_is_help=True,
    help="Render the IAM policies for the graphs of a daemon.",
    rich_markup_mode=None,
)


@app.command()
def render(
    file: FilesOption = None,
    account: Annotated[
        str | None, typer.Option("--account", help="AWS account ID; AWS_ID by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the documents to this folder.")
    ] = None,
    lease_table: Annotated[
        str | None, typer.Option("--lease-table", help="DynamoDB table of the daemon's lease.")
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option("--event-queue", help="Name of the SQS queue that receives ECS events."),
    ] = None,
    repository: Annotated[
        str, typer.Option("--daemon-repository", help="ECR repository of the daemon's image.")
    ] = REPOSITORY,
    log_group: Annotated[
        str, typer.Option("--daemon-log-group", help="Log group of the daemon's own task.")
    ] = LOG_GROUP,
) -> None:
    """Print or write the policies of the daemon, the tasks and the instances.

    A policy that exceeds IAM's size limit is split into several documents (name.json, name-2.json).
    Attach all of them to the same role.
    """
    files = file or [DEFAULT_FILE]
    graphs = [load_graph_file(path).graph for path in files]
    account_id = account or os.environ.get("AWS_ID", "")
    if not re.fullmatch(r"\d{12}", account_id):
        raise InputError(
            Problem(
                f"{account_id!r} is not an AWS account ID"
                if account_id
                else "the AWS account ID is not set",
                field="--account",
                remedy="set --account to 12 digits, or set AWS_ID",
            )
        )
    if queue is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", queue):
        raise InputError(
            Problem(
                f"{queue!r} is not a valid name of an SQS standard queue",
                field="--event-queue",
                remedy="use the name alone: letters, digits, hyphens, underscores",
            )
        )
    region = _region(graphs, files)
    documents = render_iam(graphs, region, account_id, lease_table, queue, (repository, log_group))
    if output is None:
        print_json(documents)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            (output / name).write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise EcsDynamoError(f"{output}: cannot be written: {error.strerror}") from None
    say(f"wrote {len(documents)} documents to {output}")


def _region(graphs: list[Graph], files: list[Path]) -> str:
    """Return the Region of all graphs. Raises InputError for a missing or a second Region."""
    for graph, file in zip(graphs, files, strict=True):
        problem = None
        if graph.region is None:
            problem = "the Region is not set"
        elif graph.region != graphs[0].region:
            problem = f"{graph.region} is not the Region of {files[0]}, {graphs[0].region}"
        if problem is not None:
            remedy = "set region in the file; render the graphs of each Region separately"
            raise InputError(Problem(problem, file=str(file), field="region", remedy=remedy))
    return str(graphs[0].region)


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.add_typer(app, name="iam")
