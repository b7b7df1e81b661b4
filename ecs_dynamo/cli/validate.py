"""`ecs-dynamo validate`: all checks of graph files that need no AWS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ecs_dynamo.cli.options import (
    DEFAULT_FILE,
    FilesOption,
    JsonOption,
    load_command_settings,
    load_graph_file,
)
from ecs_dynamo.config import LoadedGraph
from ecs_dynamo.console import print_json, print_warnings, say
from ecs_dynamo.controller import document
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.planning.desired.generations.clashes import (
    REMEDY,
    clashing_graphs,
    describe_graph_clash,
)


def _load(files: Sequence[Path]) -> list[LoadedGraph]:
    """Load the graph files. Raises InputError with the problems of all of them."""
    loaded: list[LoadedGraph] = []
    problems: list[Problem] = []
    for file in files:
        try:
            loaded.append(load_graph_file(file))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return loaded


def _compare(loaded: Sequence[LoadedGraph]) -> tuple[Problem, ...]:
    """Return a warning for graphs that clash if they use one etcd. Raises InputError if they do."""
    file_of = {id(part.graph): str(part.files[0]) for part in loaded}
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for clash in clashing_graphs(part.graph for part in loaded):
        problem = Problem(
            describe_graph_clash(clash),
            file=file_of[id(clash.served)],
            field="namespace",
            remedy=REMEDY,
        )
        (errors if clash.is_certain else warnings).append(problem)
    if errors:
        raise InputError(errors)
    return tuple(warnings)


def _document(loaded: LoadedGraph) -> dict[str, Any]:
    return {
        "valid": True,
        "graph": loaded.graph.name,
        "components": [c.name for c in loaded.graph.components],
        "warnings": [document(w) for w in loaded.warnings],
        "files": [str(f) for f in loaded.files],
    }


def validate(file: FilesOption = None, as_json: JsonOption = False) -> None:
    """Check graph files and their task definitions. AWS is not called.

    Several files are compared with each other, too.
    """
    load_command_settings()
    files = file or [DEFAULT_FILE]
    loaded = _load(files)
    clashes = _compare(loaded)
    if as_json:
        graphs = [_document(part) for part in loaded]
        several = {"valid": True, "graphs": graphs, "warnings": [document(w) for w in clashes]}
        print_json(graphs[0] if len(graphs) == 1 else several)
        return
    for path, part in zip(files, loaded, strict=True):
        print_warnings(part.warnings)
        components = ", ".join(f"{c.name} x{c.replicas}" for c in part.graph.components)
        count = len(part.warnings)
        say(
            f"{path}: graph {part.graph.name} is valid ({components})"
            + (f", {count} warning{'s' if count != 1 else ''}" if count else "")
        )
    print_warnings(clashes)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(validate)
