"""Preparation of the user's ECS task definition files for registration.

A file is the input of `aws ecs register-task-definition`, or an export of the console or of
`describe-task-definition`, whose output-only fields are left out. Variables are filled in,
references to secrets become `secrets`, and the rest is checked against ECS's own service model.
Endpoints (``IP_ADDRESS``) stay open: they are known only when the infrastructure runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs_dynamo.common.botocore_data import (
    register_task_definition_input,
    task_definition_output_only,
)
from ecs_dynamo.common.json_values import map_json
from ecs_dynamo.config.ecs_rules import STRUCTURE, Content, violations
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.reading.variables import (
    SecretReference,
    VariableError,
    Variables,
)
from ecs_dynamo.config.task_definitions.ecs_shape import Complain, conform
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import NetworkMode, network_mode_of

_TAKES_REFERENCES: Final = ("valueFrom", "credentialsParameter")
"""Fields whose value is itself the name of a secret, so that a reference reveals nothing."""
_TEXTS: Final = ("options", "dockerLabels")
"""Mappings of a container whose keys the user chooses."""
_SHELL: Final = re.compile(r"^(?:\S*/)?(?:ba|da|a|z|k)?sh$")
_SHELL_VARIABLES: Final = frozenset(
    [
        "HOME",
        "HOSTNAME",
        "IFS",
        "LANG",
        "LC_ALL",
        "LOGNAME",
        "OLDPWD",
        "PATH",
        "PPID",
        "PWD",
        "RANDOM",
        "SECONDS",
        "SHELL",
        "SHLVL",
        "TERM",
        "TMPDIR",
        "TZ",
        "UID",
        "USER",
    ]
)
"""Variables that every shell has: in a command they mean those of the container."""
_OPTION_LIST: Final = re.compile(r"-[^\s,]+(?:,\s+-[^,]*)+")


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A checked task definition. ``root`` is its path in its document."""

    document: Document
    root: FieldPath
    content: dict[str, Any]

    def at(self, *path: str | int) -> FieldPath:
        """Return the path in the document of ``path`` in the task definition."""
        return (*self.root, *path)


def prepare(document: Document, variables: Variables, report: Report) -> TaskDefinition | None:
    """Return the task definition of a parsed file; None if it has errors, which are reported."""
    value: Any = document.value
    root: FieldPath = ()
    if isinstance(value, dict) and isinstance(value.get("taskDefinition"), dict):
        value, root = value["taskDefinition"], ("taskDefinition",)
    before = len(report.errors)
    if not isinstance(value, dict):
        report.error(
            document,
            (),
            "a task definition must be a mapping",
            "write the input of register-task-definition",
        )
        return None
    definition = TaskDefinition(document, root, {})
    _warn_of_tags(definition, value, report)
    _warn_of_nulls(definition, value, (), report)
    ignored = task_definition_output_only() | {"tags"}
    kept = {key: item for key, item in value.items() if key not in ignored}
    filled = _Filler(definition, variables, report).fill(kept)

    def complain(path: FieldPath, message: str, remedy: str) -> None:
        where = definition.at(*path)
        if not report.has_error_at(document, where):
            report.error(document, where, message, remedy)

    content = conform(
        filled,
        register_task_definition_input(),
        (),
        complain,
        lambda path: document.text_of(definition.at(*path)),
    )
    _check_network_mode(content, complain)
    if isinstance(content, dict):
        for violation in violations(STRUCTURE, Content(content)):
            complain(violation.path, violation.message, violation.remedy)
    if len(report.errors) > before:
        return None
    _split_console_commands(definition, content, report)
    return TaskDefinition(document, root, content)


def _warn_of_tags(definition: TaskDefinition, value: Mapping[str, Any], report: Report) -> None:
    if value.get("tags"):
        report.warn(
            definition.document,
            definition.at("tags"),
            "tags of a task definition file are not used",
            "put them under tags in the graph file",
        )


def _warn_of_nulls(definition: TaskDefinition, value: Any, path: FieldPath, report: Report) -> None:
    """Warn of nulls in mappings of texts and in variables, where a value is meant.

    Elsewhere the console exports an unset member as null.
    """
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        where = (*path, key)
        if isinstance(item, dict | list):
            _warn_of_nulls(definition, item, where, report)
        elif item is None and len(path) >= 3 and path[0] == CONTAINERS:
            if path[2] == "environment" and key == "value":
                message = f"{value.get('name')} has no value: in the container it is empty"
                remedy = 'write "" for an empty value, or remove the entry'
                report.warn(definition.document, definition.at(*where), message, remedy)
            elif path[-1] in _TEXTS:
                message = f"{key} is null and is left out"
                report.warn(
                    definition.document, definition.at(*where), message, 'remove it, or write ""'
                )


class _Filler:
    """Fills variables in in every text of a task definition, and moves references to `secrets`."""

    def __init__(self, definition: TaskDefinition, variables: Variables, report: Report) -> None:
        self.definition = definition
        self.variables = variables.declared_only()
        self.report = report
        self._content: Mapping[str, Any] = {}

    def fill(self, content: Mapping[str, Any]) -> Any:
        """Return ``content`` with its variables filled in."""
        self._content = content
        return map_json(content, self._leaf, self._mapping)

    def _mapping(self, filled: dict[str, Any], path: FieldPath) -> dict[str, Any]:
        if len(path) == 2 and path[0] == CONTAINERS:
            _move_references(filled)
        return filled

    def _leaf(self, text: Any, path: FieldPath) -> Any:
        if not isinstance(text, str):
            return text
        in_environment = len(path) == 5 and path[2] == "environment" and path[4] == "value"
        where = self.definition.at(*path)
        try:
            if path[0] == CONTAINERS and path[2:3] in (("command",), ("entryPoint",)):
                expanded: str | SecretReference = expand_word(
                    text,
                    self.variables,
                    self._content[CONTAINERS][path[1]],
                    self.definition.document,
                    where,
                    self.report,
                )
            elif path[0] == CONTAINERS and path[2:4] == ("healthCheck", "command"):
                check = self._content[CONTAINERS][path[1]]["healthCheck"]["command"]
                shell = isinstance(check, list) and check[:1] != ["CMD"]
                expanded, _ = self.variables.expand_command(text, shell=shell)
            else:
                expanded = self.variables.expand(text)
            if isinstance(expanded, SecretReference):
                if in_environment or path[-1] in _TAKES_REFERENCES:
                    name = expanded.value_from(self.variables.region, self.variables.account)
                    return _Reference(name) if in_environment else name
                self.variables.expand_text(text)
            return (
                self.variables.fill_example_words(str(expanded)) if path[-1] != "name" else expanded
            )
        except VariableError as error:
            self.report.error(self.definition.document, where, str(error), error.remedy)
            return text


def expand_word(
    text: str,
    variables: Variables,
    container: Mapping[str, Any],
    document: Document,
    where: FieldPath,
    report: Report,
) -> str:
    """Return a word of a container's command with the declared variables filled in.

    An undeclared variable is left to the container, with a warning if the environment has it too.
    Raises `VariableError`.
    """
    words = [*(container.get("entryPoint") or ()), *(container.get("command") or ())]
    shell = any(isinstance(word, str) and _SHELL.search(word) for word in words)
    expanded, foreign = variables.expand_command(text, shell=shell)
    own = {
        entry.get("name")
        for key in ("environment", "secrets")
        for entry in container.get(key) or ()
        if isinstance(entry, Mapping)
    }
    for name in dict.fromkeys(foreign):
        if name in variables.environ and name not in own and name not in _SHELL_VARIABLES:
            report.warn(
                document,
                where,
                f"${{{name}}} is left to the container, because {name} is not declared; the "
                "environment has it too",
                f"write {name}: ${{{name}}} under variables in the graph file to fill it in here, "
                f"or $${{{name}}} to leave it to the container without a warning",
            )
    return expanded


class _Reference(str):
    """The `valueFrom` of a reference, in the position of an environment value."""

    __slots__ = ()


def _move_references(container: dict[str, Any]) -> None:
    environment = container.get("environment")
    if not isinstance(environment, list):
        return
    moved = [
        {"name": entry.get("name"), "valueFrom": str(entry["value"])}
        for entry in environment
        if isinstance(entry, dict) and isinstance(entry.get("value"), _Reference)
    ]
    if moved:
        container["environment"] = [
            entry
            for entry in environment
            if not (isinstance(entry, dict) and isinstance(entry.get("value"), _Reference))
        ]
        container["secrets"] = [*(container.get("secrets") or ()), *moved]


def set_environment(container: dict[str, Any], name: str, value: str | SecretReference) -> None:
    """Set a variable of ``container`` in place: as a plain value or as a secret.

    The ``name`` of a `SecretReference` must already be its `valueFrom`.
    """
    for key in ("environment", "secrets"):
        if key in container:
            container[key] = [entry for entry in container[key] if entry.get("name") != name]
    if isinstance(value, SecretReference):
        container.setdefault("secrets", []).append({"name": name, "valueFrom": value.name})
    else:
        container.setdefault("environment", []).append({"name": name, "value": value})


def _check_network_mode(content: Any, complain: Complain) -> None:
    mode = network_mode_of(content)
    if mode not in tuple(NetworkMode):
        complain(
            ("networkMode",),
            f"with networkMode {mode!r} a task has no address that others can reach",
            f"write one of {', '.join(NetworkMode)}",
        )


def _split_console_commands(
    definition: TaskDefinition, content: dict[str, Any], report: Report
) -> None:
    """Split "-js, --trace", which the console's command field turns into a single word.

    Only a single word that consists of options is split: no program accepts it as it is.
    """
    for index, container in enumerate(content[CONTAINERS]):
        command = container.get("command", [])
        if len(command) == 1 and _OPTION_LIST.fullmatch(command[0]) and "$" not in command[0]:
            words = [word for part in command[0].split(",") for word in part.split()]
            container["command"] = words
            report.warn(
                definition.document,
                definition.at(CONTAINERS, index, "command"),
                f"the single word {command[0]!r} is read as the options {', '.join(words)}",
                "write each option as a word of its own",
            )
