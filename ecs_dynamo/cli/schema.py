"""`ecs-dynamo schema`: the JSON Schema of the graph file, for editors."""

from __future__ import annotations

import typer

from ecs_dynamo.cli.output import print_json
from ecs_dynamo.config import graph_schema


def schema() -> None:
    """Print the JSON Schema of the graph file."""
    print_json(graph_schema())


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(schema)
