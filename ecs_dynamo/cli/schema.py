"""`ecs-dynamo schema`: the JSON Schema of the graph file, for editors."""

from __future__ import annotations

import typer

from ecs_dynamo.config import graph_schema
from ecs_dynamo.console import print_json


def schema() -> None:
    """Print the JSON Schema of the graph file."""
    print_json(graph_schema())


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(schema)
