"""Loading a graph file: read, fill in, validate, build, check; every problem in one error.

Each step goes on with what the one before could make sense of, so that a user mends a file in
one go. What an error already covers is not reported again as something else.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ecs_dynamo.common.json_values import map_json
from ecs_dynamo.config.build.components import (
    build_components,
    build_graph,
)
from ecs_dynamo.config.checks.bridge import check_bridges
from ecs_dynamo.config.checks.ecs_rules import check_rules
from ecs_dynamo.config.checks.endpoints import check_endpoint_variables
from ecs_dynamo.config.checks.graph import check_graph
from ecs_dynamo.config.checks.limits import check_limits
from ecs_dynamo.config.checks.regions import check_region
from ecs_dynamo.config.checks.security import check_security
from ecs_dynamo.config.checks.service_discovery import check_service_discovery
from ecs_dynamo.config.checks.tasks import check_tasks
from ecs_dynamo.config.reading.deprecated_keys import replace_deprecated_keys
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
    read_document,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.reading.suggestions import report_validation
from ecs_dynamo.config.reading.variables import (
    SecretReference,
    VariableError,
    Variables,
)
from ecs_dynamo.config.task_definitions.prepare import (
    TaskDefinition,
    prepare,
)
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.spec.graph import GraphSpec

FILES_SCANNED, FILES_LISTED = 1000, 6
"""How much of a folder is read, and how many of its files an error message lists."""
_REGION_VARIABLES = ("ECS_DYNAMO_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
PATH_SHOWN = 400
"""Of a path, in characters."""


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph that can be planned; ``files`` are all that it was read from."""

    graph: Graph
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]


def load_graph(path: Path, environ: Mapping[str, str]) -> LoadedGraph:
    """Load the graph file at ``path`` and the task definitions it names, relative to it.

    InputError holds everything that is wrong. Reads files only: no AWS, no secrets.
    """
    document = read_document(path, called="graph file")
    if not isinstance(document.value, dict):
        raise InputError(
            Problem(
                "a graph file is a mapping with name, infrastructure and components",
                file=document.file,
                line=document.line_of(()),
                remedy="see examples/, or run `ecs-dynamo init`",
            )
        )
    report = Report()
    document = replace_deprecated_keys(document, report)
    raw = map_json(document.value, lambda value, path: _as_written(value, path, document))
    variables = _variables(raw, environ, document, report)
    filled = map_json(raw, lambda value, path: _fill(value, path, variables, document, report))
    definitions, files = _read_definitions(filled, path, variables, document, report)
    try:
        spec = GraphSpec.model_validate(filled, by_alias=True, by_name=False)
    except ValidationError as error:
        report_validation(error, document, report)
        raise InputError(report.errors) from None
    check_region(variables.region, document, report)
    check_graph(spec, document, report)
    components = build_components(spec, definitions, variables, document, report)
    check_rules(spec, components, document, report)
    check_tasks(spec, components, document, report)
    check_bridges(spec, components, document, report)
    check_limits(components, document, report)
    check_endpoint_variables(spec, components, report)
    check_security(spec, components, document, report)
    check_service_discovery(spec, components, document, report)
    report.raise_errors()
    return LoadedGraph(
        graph=build_graph(spec, components, variables.region),
        warnings=tuple(report.warnings),
        files=(path, *files),
    )


def _holds_text(path: FieldPath) -> bool:
    """Whether ``path`` is a value of a mapping of texts (variables, tags, env)."""
    return (len(path) == 2 and path[0] in ("variables", "tags")) or _is_env(path)


def _is_env(path: FieldPath) -> bool:
    return len(path) == 4 and path[0] == "components" and path[2] == "env"


def _is_command(path: FieldPath) -> bool:
    return len(path) == 3 and path[0] == "components" and path[2] == "command"


def _as_written(value: Any, path: FieldPath, document: Document) -> Any:
    """``AWS_ID: 012345678901`` and ``DEBUG: true`` are texts where only texts can be."""
    if _holds_text(path) and isinstance(value, bool | int | float):
        text = document.text_of(path)
        return str(value) if text is None else text
    return value


def _variables(
    raw: Mapping[str, Any], environ: Mapping[str, str], document: Document, report: Report
) -> Variables:
    given = raw.get("variables")
    own = {k: v for k, v in given.items() if isinstance(v, str)} if isinstance(given, dict) else {}
    variables = Variables(own, environ)
    for name, text in own.items():
        try:
            # As a use of it would: its own name inside means the environment's.
            variables.expand(f"${{{name}:-}}" if text else "")
        except VariableError as error:
            report.error(document, ("variables", name), str(error), error.remedy)
    return Variables(own, environ, _region(raw, variables))


def _region(raw: Mapping[str, Any], variables: Variables) -> str | None:
    text = raw.get("region")
    if isinstance(text, str) and text:
        try:
            return variables.expand_text(text) or None
        except VariableError:
            return None  # `_fill` reports it in its place.
    if "AWS_REGION" in variables.own:
        return variables.get("AWS_REGION")
    return next((v for n in _REGION_VARIABLES if (v := variables.environ.get(n))), None)


def _fill(
    value: Any, path: FieldPath, variables: Variables, document: Document, report: Report
) -> Any:
    """Fill variables in, but for those of `variables` and of `env`, which may be secrets, and of
    `command`, which may be the container's own.

    In `infrastructure.security` a reference to a secret becomes what ECS takes for it.
    """
    if path[:1] == ("variables",) or _is_env(path[:4]) or _is_command(path[:3]):
        return value
    if isinstance(value, str):
        try:
            if path[:2] == ("infrastructure", "security"):
                found = variables.expand(value)
                if isinstance(found, SecretReference):
                    return found.value_from(variables.region, variables.account)
                return found
            return variables.expand_text(value)
        except VariableError as error:
            report.error(document, path, str(error), error.remedy)
    return value


def _references(filled: Mapping[str, Any]) -> Iterator[tuple[str, FieldPath]]:
    """Every task definition named in the file, even where the rest of it is wrong."""
    infra, components = filled.get("infrastructure"), filled.get("components")
    places: list[tuple[Any, FieldPath]] = [(infra, ("infrastructure",))]
    if isinstance(infra, dict):
        places += [(infra.get(key), ("infrastructure", key)) for key in ("etcd", "nats")]
    if isinstance(components, list):
        places += [(one, ("components", i)) for i, one in enumerate(components)]
    for place, path in places:
        if isinstance(place, dict) and isinstance(place.get("taskDefinition"), str):
            yield place["taskDefinition"], (*path, "taskDefinition")


def _files_beside(file: Path) -> str:
    """The JSON and YAML files in the folder that ``file`` would be in, as the end of a remedy."""
    try:
        with os.scandir(file.parent) as entries:
            names = [e.name for e in itertools.islice(entries, FILES_SCANNED)]
    except (OSError, ValueError):
        return ""
    found = sorted(n for n in names if n.endswith((".json", ".yaml", ".yml")))
    if not found:
        return ""
    more = ", ..." if len(found) > FILES_LISTED else ""
    return f"; {file.parent} has {', '.join(found[:FILES_LISTED])}{more}"


def _is_missing(file: Path) -> bool:
    """Whether there is no such file. What cannot be told is left to reading it, which says why."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _read_definitions(
    filled: Mapping[str, Any],
    graph_file: Path,
    variables: Variables,
    document: Document,
    report: Report,
) -> tuple[dict[str, TaskDefinition | None], tuple[Path, ...]]:
    definitions: dict[str, TaskDefinition | None] = {}
    files: dict[Path, None] = {}
    for reference, path in _references(filled):
        if reference in definitions or report.has_error_at(document, path):
            continue
        definitions[reference] = None
        file = graph_file.parent / reference
        if not reference or _is_missing(file):
            message = f"the task definition {str(file)[:PATH_SHOWN]!r} does not exist"
            remedy = f"correct the path; it is relative to this file{_files_beside(file)}"
            report.error(document, path, message, remedy)
            continue
        try:
            parsed = read_document(file, called="task definition")
        except InputError as error:
            report.errors.extend(p for p in error.problems if p not in report.errors)
            continue
        files[file] = None
        definitions[reference] = prepare(parsed, variables, report)
    return definitions, tuple(files)
