"""`ecs-dynamo validate`: everything that can be checked without AWS."""

from __future__ import annotations

import typer

from ecs_dynamo.cli.options import DEFAULT_FILE, FileOption, JsonOption, load, settings_for
from ecs_dynamo.console import (
    print_json,
    print_warnings,
    say,
)
from ecs_dynamo.controller.telemetry.status import document


def validate(file: FileOption = DEFAULT_FILE, as_json: JsonOption = False) -> None:
    """Check the graph file and the task definitions that it names."""
    settings_for()
    loaded = load(file)
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
    parts = ", ".join(f"{c.name} x{c.replicas}" for c in loaded.graph.components)
    many = len(loaded.warnings)
    say(
        f"{file}: graph {loaded.graph.name} is valid ({parts})"
        + (f", {many} warning{'s' if many != 1 else ''}" if many else "")
    )


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(validate)
