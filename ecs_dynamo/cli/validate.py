"""`ecs-dynamo validate`: all checks of a graph file that need no AWS."""

from __future__ import annotations

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    FileOption,
    JsonOption,
    load_command_settings,
    load_graph_file,
)
from ecs_dynamo.console import print_json, print_warnings, say
from ecs_dynamo.controller import document


def validate(file: FileOption = DEFAULT_FILE, as_json: JsonOption = False) -> None:
    """Check the graph file and its task definitions. AWS is not called."""
    load_command_settings()
    loaded = load_graph_file(file)
    if as_json:
        print_json(
            {
                "valid": True,
                "graph": loaded.graph.name,
                "components": [c.name for c in loaded.graph.components],
                "warnings": [document(w) for w in loaded.warnings],
                "files": [str(f) for f in loaded.files],
            }
        )
        return
    print_warnings(loaded.warnings)
    components = ", ".join(f"{c.name} x{c.replicas}" for c in loaded.graph.components)
    count = len(loaded.warnings)
    say(
        f"{file}: graph {loaded.graph.name} is valid ({components})"
        + (f", {count} warning{'s' if count != 1 else ''}" if count else "")
    )


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(validate)
