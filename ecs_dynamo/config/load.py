"""Loading of a graph file: read, fill in, validate, build, check; every problem in one error.

Each step continues with the valid results of the one before, so that a user sees all problems at
once. A problem is not reported a second time in another form.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ecs_dynamo.common.json_values import map_json
from ecs_dynamo.config.build.components import (
    build_components,
    build_graph,
)
from ecs_dynamo.config.checks.bridge import check_bridges
from ecs_dynamo.config.checks.concurrency import check_concurrency
from ecs_dynamo.config.checks.drain import check_drains
from ecs_dynamo.config.checks.ecs_rules import check_rules
from ecs_dynamo.config.checks.endpoints import check_endpoint_variables
from ecs_dynamo.config.checks.graph import check_graph
from ecs_dynamo.config.checks.limits import check_limits, check_max_gpus
from ecs_dynamo.config.checks.namespaces import check_namespace_variables
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

FILES_SCANNED: Final = 1000
"""Number of files of a folder that are read to suggest one."""
FILES_LISTED: Final = 6
"""Number of files that an error message lists."""
_REGION_VARIABLES: Final = ("ECS_DYNAMO_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
PATH_SHOWN: Final = 400
"""Number of characters of a path that an error message shows."""


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph that can be planned. ``files`` are all files that it was read from."""

    graph: Graph
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]


def load_graph(path: Path, environ: Mapping[str, str]) -> LoadedGraph:
    """Load the graph file at ``path`` and the task definitions it names, relative to it.

    Raises InputError with every problem. Only files are read: no AWS, no secrets.
    """
    document = read_document(path, called="graph file")
    if not isinstance(document.value, dict):
        raise InputError(
            Problem(
                "a graph file must be a mapping with name, infrastructure and components",
                file=document.file,
                line=document.line_of(()),
                remedy="see examples/, or run `ecs-dynamo init`",
            )
        )
    report = Report()
    document = replace_deprecated_keys(document, report)
    raw = map_json(document.value, lambda value, path: _with_text(value, path, document))
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
    check_drains(spec, components, document, report)
    check_bridges(spec, components, document, report)
    check_limits(components, document, report)
    check_concurrency(components, document, report)
    check_max_gpus(spec, components, document, report)
    check_endpoint_variables(spec, components, report)
    check_namespace_variables(spec, components, document, report)
    check_security(spec, components, document, report)
    check_service_discovery(spec, components, document, report)
    report.raise_errors()
    return LoadedGraph(
        graph=build_graph(spec, components, variables.region),
        warnings=tuple(report.warnings),
        files=(path, *files),
    )


def _holds_text(path: FieldPath) -> bool:
    """Return whether ``path`` is a value of a mapping of texts (variables, tags, env)."""
    return (len(path) == 2 and path[0] in ("variables", "tags")) or _is_env(path)


def _is_env(path: FieldPath) -> bool:
    return len(path) == 4 and path[0] == "components" and path[2] == "env"


def _is_command(path: FieldPath) -> bool:
    return len(path) == 3 and path[0] == "components" and path[2] == "command"


def _with_text(value: Any, path: FieldPath, document: Document) -> Any:
    """Return ``value`` as text where only texts can be, as in ``AWS_ID: 012345678901``."""
    if _holds_text(path) and isinstance(value, bool | int | float):
        text = document.text_of(path)
        return str(value) if text is None else text
    return value


def _variables(
    raw: Mapping[str, Any], environ: Mapping[str, str], document: Document, report: Report
) -> Variables:
    declared = raw.get("variables")
    declared = declared if isinstance(declared, dict) else {}  # Not validated yet.
    own = {k: v for k, v in declared.items() if isinstance(v, str)}
    variables = Variables(own, environ)
    for name, text in own.items():
        try:
            # Expanded as in a use, where its own name inside means that of the environment.
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
            return None  # `_fill` reports it.
    if "AWS_REGION" in variables.own:
        return variables.get("AWS_REGION")
    return next((v for n in _REGION_VARIABLES if (v := variables.environ.get(n))), None)


def _fill(
    value: Any, path: FieldPath, variables: Variables, document: Document, report: Report
) -> Any:
    """Return ``value`` with variables filled in.

    `variables` and `env`, which may hold secrets, and `command`, whose variables may belong to the
    container, stay as they are. In `infrastructure.security` a reference to a secret becomes its
    `valueFrom` of ECS.
    """
    if path[:1] == ("variables",) or _is_env(path[:4]) or _is_command(path[:3]):
        return value
    if isinstance(value, str):
        try:
            if path[:2] == ("infrastructure", "security"):
                expanded = variables.expand(value)
                if isinstance(expanded, SecretReference):
                    return expanded.value_from(variables.region, variables.account)
                return expanded
            return variables.expand_text(value)
        except VariableError as error:
            report.error(document, path, str(error), error.remedy)
    return value


def _references(filled: Mapping[str, Any]) -> Iterator[tuple[str, FieldPath]]:
    """Yield each task definition named in the file with its path, even if the rest is wrong."""
    infrastructure, components = filled.get("infrastructure"), filled.get("components")
    places: dict[FieldPath, Any] = {("infrastructure",): infrastructure}
    if isinstance(infrastructure, dict):
        places |= {("infrastructure", key): infrastructure.get(key) for key in ("etcd", "nats")}
    if isinstance(components, list):
        places |= {("components", i): component for i, component in enumerate(components)}
    for path, value in places.items():
        if isinstance(value, dict) and isinstance(value.get("taskDefinition"), str):
            yield value["taskDefinition"], (*path, "taskDefinition")


def _files_beside(file: Path) -> str:
    """Return the end of a remedy: the JSON and YAML files in the folder of the missing ``file``."""
    try:
        with os.scandir(file.parent) as entries:
            names = [e.name for e in itertools.islice(entries, FILES_SCANNED)]
    except (OSError, ValueError):
        return ""
    candidates = sorted(n for n in names if n.endswith((".json", ".yaml", ".yml")))
    if not candidates:
        return ""
    more = ", ..." if len(candidates) > FILES_LISTED else ""
    return f"; {file.parent} has {', '.join(candidates[:FILES_LISTED])}{more}"


def _is_missing(file: Path) -> bool:
    """Return whether the file does not exist. Any other problem shows when it is read."""
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
