"""YAML and JSON files with the line of every field, so that an error can name it.

PyYAML's node graph is walked here instead of using its constructors. That gives line numbers,
refuses duplicate keys (YAML forbids them, PyYAML silently keeps the last one), creates only plain
values, and reads scalars by the rules of YAML 1.2: ``no``, ``1:30`` and dates stay text. JSON files
are parsed a second time as YAML, for their lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from ecs_dynamo.common.json_values import map_json
from ecs_dynamo.config.reading.file_content import MAX_BYTES, read_bytes
from ecs_dynamo.model.errors import InputError, Problem

FieldPath = tuple[str | int, ...]
"""Path of a value in its document, such as ``("components", 1, "name")``."""

MAX_VALUES: Final = 50_000
"""Limit of the values that aliases may expand to ("billion laughs")."""
MAX_DEPTH: Final = 64
"""Limit of the nesting of values. Real files stay below ten."""

_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain values, the line of each path, and plain scalars as written."""

    file: str
    value: Any
    lines: Mapping[FieldPath, int] = field(default_factory=dict)
    """Path in the file -> line, from 1."""
    texts: Mapping[FieldPath, str] = field(default_factory=dict)
    """Path in the file -> text of a number or boolean."""
    deprecated_keys: Mapping[FieldPath, str] = field(default_factory=dict)
    """Path in ``value`` -> the deprecated key that the file has in place of its last step."""

    def as_written(self, path: FieldPath) -> FieldPath:
        """Return the path in the file of ``path``, a path in ``value``."""
        return tuple(self.deprecated_keys.get(path[: i + 1], step) for i, step in enumerate(path))

    def text_of(self, path: FieldPath) -> str | None:
        """Return the number or boolean at ``path`` as the file has it; None for other values."""
        return self.texts.get(self.as_written(path))

    def line_of(self, path: FieldPath) -> int | None:
        """Return the line (from 1) of ``path``, or of the closest value that contains it."""
        written = self.as_written(path)
        for length in range(len(written), -1, -1):
            line = self.lines.get(written[:length])
            if line is not None:
                return line
        return None

    def value_at(self, path: FieldPath) -> Any:
        """Return the value at ``path``; None where there is none."""
        value = self.value
        for step in path:
            if isinstance(value, list) and isinstance(step, int):
                value = value[step] if step < len(value) else None
            else:
                value = value.get(step) if isinstance(value, dict) else None
        return value


def dotted(path: FieldPath) -> str:
    """Return ``components[1].name`` for ``("components", 1, "name")``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def read_document(path: Path, *, called: str = "file") -> Document:
    """Read a YAML or JSON file. ``called`` is the name of such a file in error messages.

    Raises InputError with the problem and its line.
    """
    if path.suffix.lower() in (".jsonnet", ".libsonnet"):
        _refuse(
            path,
            f"this {called} is Jsonnet, which is not evaluated here",
            remedy=f"render it first (jsonnet {path.name} > {path.stem}.json) and name the result",
        )
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        _refuse(path, f"this {called} does not exist", remedy="check the path, or create it")
    except IsADirectoryError:
        _refuse(path, f"this is a directory, not a {called}", remedy="name the file inside it")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        _refuse(
            path, f"this {called} cannot be read: {reason}", remedy="check its path and permissions"
        )
    if len(data) > MAX_BYTES:
        _refuse(path, f"this {called} is larger than {MAX_BYTES} bytes", remedy="check the path")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(path, "this is not UTF-8 text", line=line, remedy="save the file as UTF-8")
    return parse_document(text, path)


def parse_document(text: str, path: Path) -> Document:
    """Parse the text of the file ``path``: JSON by its name or first character, else YAML."""
    if path.suffix.lower() == ".json" or (
        path.suffix.lower() not in (".yaml", ".yml") and text.lstrip().startswith("{")
    ):
        return _parse_json(text, path)
    return _parse_yaml(text, path)


def _refuse(
    path: Path, message: str, *, line: int | None = None, remedy: str | None = None
) -> NoReturn:
    raise InputError(Problem(message=message, file=str(path), line=line, remedy=remedy)) from None


class _Resolver(yaml.SafeLoader):
    """YAML 1.2's core schema, and ``<<``, with which people share settings."""


_Resolver.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Resolver.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)


def _compose(text: str, path: Path) -> yaml.Node | None:
    try:
        loader = _Resolver(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
            return node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _refuse(
            path,
            f"this is not valid YAML: {error.problem or error.context}",
            line=mark.line + 1 if mark else None,
            remedy="check indentation, quotes and brackets at this line",
        )
    except yaml.reader.ReaderError as error:
        _refuse(path, f"this is not valid YAML: {error.reason}", remedy="remove that character")
    except RecursionError:
        _refuse(path, "this is nested too deeply", remedy="flatten it")
    except (ValueError, OverflowError) as error:  # PyYAML does not catch a bad \U escape.
        _refuse(path, f"this is not valid YAML: {error}", remedy="check its escapes")


def _parse_yaml(text: str, path: Path) -> Document:
    node = _compose(text, path)
    walker = _Walker(path)
    try:
        value = walker.build(node, ()) if node is not None else None
    except RecursionError:
        _refuse(path, "this is nested too deeply", remedy="flatten it")
    if walker.problems:
        raise InputError(walker.problems)
    return Document(str(path), value, walker.lines, walker.texts)


class _Walker:
    """Turns nodes into plain values, and records lines and source texts by path."""

    def __init__(self, path: Path) -> None:
        self.file = str(path)
        self.lines: dict[FieldPath, int] = {}
        self.texts: dict[FieldPath, str] = {}
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: FieldPath) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            self._stop(node, f"this expands to more than {MAX_VALUES} values", "use fewer aliases")
        if len(path) > MAX_DEPTH:
            self._stop(node, "this is nested too deeply", "flatten it")
        if id(node) in self._open:
            self._stop(node, "this alias contains itself", "write the value out")
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._open.add(id(node))
        try:
            return self._value(node, path)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, path: FieldPath) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._problem(node, path, f"the YAML tag {node.tag} is not allowed", "remove the tag")
        return None

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        keys: list[tuple[str, yaml.Node, yaml.Node]] = []
        # Merged mappings are built first, so that the mapping's own lines and texts win.
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "a key must be plain text", "quote the key")
            elif key_node.tag == f"{_TAG}merge":
                for source in self._merge_sources(value_node, path):
                    merged = {**source, **merged}
            else:
                keys.append((str(key_node.value), key_node, value_node))
        for key, key_node, value_node in keys:
            if key in own:
                self._problem(
                    key_node,
                    (*path, key),
                    f"the key {key!r} is given twice (first in line {self.lines[(*path, key)]})",
                    "remove one of them",
                )
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}

    def _merge_sources(self, node: yaml.Node, path: FieldPath) -> list[dict[str, Any]]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        sources = [self.build(child, path) for child in nodes]
        if all(isinstance(source, dict) for source in sources):
            return sources
        self._problem(node, path, "the value of << must be a mapping", "write *name of a mapping")
        return []

    def _scalar(self, node: yaml.ScalarNode, path: FieldPath) -> Any:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        self.texts.pop(path, None)
        if kind in ("int", "float", "bool"):
            self.texts[path] = text
        try:
            if kind == "int":
                return int(text, 0 if text[:2] in ("0o", "0x") else 10)
            if kind == "float":
                return float(text)
        except ValueError:
            return text
        if kind == "bool":
            return text.lower() == "true"
        if kind == "null":
            return None
        if kind in ("str", "merge"):
            return text
        self._problem(node, path, f"the YAML tag {node.tag} is not allowed", "remove the tag")
        return None

    def _problem_at(self, node: yaml.Node, path: FieldPath, message: str, remedy: str) -> Problem:
        return Problem(
            message=message,
            file=self.file,
            field=dotted(path) or None,
            line=node.start_mark.line + 1,
            remedy=remedy,
        )

    def _problem(self, node: yaml.Node, path: FieldPath, message: str, remedy: str) -> None:
        self.problems.append(self._problem_at(node, path, message, remedy))

    def _stop(self, node: yaml.Node, message: str, remedy: str) -> NoReturn:
        raise InputError([*self.problems, self._problem_at(node, (), message, remedy)])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"the key {key!r} is given twice")
        mapping[key] = value
    return mapping


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed in JSON")


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
        ]
    return bool(level)


class _Number(str):
    """A number of a JSON file as written: the versions ``1.10`` and ``1.1`` differ."""

    __slots__ = ()


def _with_numbers(value: Any) -> tuple[Any, dict[FieldPath, str]]:
    """Return ``value`` with numbers instead of their texts, and the texts by path."""
    texts: dict[FieldPath, str] = {}

    def number(part: Any, path: FieldPath) -> Any:
        if not isinstance(part, _Number):
            return part
        texts[path] = str(part)
        return int(part) if part.lstrip("-").isdigit() else float(part)

    return map_json(value, number), texts


def _parse_json(text: str, path: Path) -> Document:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_Number,
            parse_float=_Number,
        )
    except json.JSONDecodeError as error:
        _refuse(
            path,
            f"this is not valid JSON: {error.msg}",
            line=error.lineno,
            remedy="check commas, quotes and brackets at this line",
        )
    except RecursionError:
        _refuse(path, "this is nested too deeply", remedy="flatten it")
    except ValueError as error:
        _refuse(path, f"this is not valid JSON: {error}", remedy="correct that value")
    if _depth_exceeds(value, MAX_DEPTH):
        _refuse(path, "this is nested too deeply", remedy="flatten it")
    try:
        value, texts = _with_numbers(value)
    except ValueError as error:
        _refuse(path, f"this is not valid JSON: {error}", remedy="correct that value")
    try:
        # Valid JSON has tabs only between values, where YAML refuses them.
        lines = _parse_yaml(text.replace("\t", " "), path).lines
    except InputError:
        lines = {}
    return Document(str(path), value, lines, texts)
