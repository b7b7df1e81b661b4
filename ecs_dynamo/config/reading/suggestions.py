"""pydantic's errors as problems that a user can act on: line, field, value found, remedy."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.spec.base import SpecModel
from ecs_dynamo.model.spec.graph import GraphSpec

_OTHER_WORDS: Final = {
    "services": "components",
    "count": "replicas",
    "desiredcount": "replicas",
    "instances": "replicas",
    "role": "type",
    "componenttype": "type",
    "autoscaling": "scaling",
    "environment": "env",
    "envs": "env",
    "taskdef": "taskDefinition",
    "maxreplicas": "max",
    "minreplicas": "min",
    "vars": "variables",
    "infra": "infrastructure",
    "dynamonamespace": "namespace",
}
"""Keys that other tools use for the same thing, in lower case without separators."""

_REMEDIES: Final = {
    "missing": "add this key",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "string_type": "write text; quote it where it looks like something else",
    "tuple_type": "write a list: one item per line, each after '- '",
    "dict_type": "write a mapping: one 'key: value' per line",
    "model_type": "write a mapping: one 'key: value' per line",
    "model_attributes_type": "write a mapping: one 'key: value' per line",
    "too_short": "give at least one item",
    "too_long": "remove some items",
}
_FIELD_REMEDIES: Final = {
    "fileSystemId": "write the EFS file system's id: fs-0123456789abcdef0",
    "accessPointId": "write the EFS access point's id: fsap-0123456789abcdef0",
    "rootDirectory": "write a path that begins with /",
    "path": "write a path that begins with /",
    "name": "use 1 to 63 lower-case letters, digits and dashes, a letter or digit at both ends",
    "namespace": "use letters, digits, underscores and dashes",
    "targetGroupArn": "write its ARN: arn:aws:elasticloadbalancing:...:targetgroup/<name>/<id>",
}
_PRIVATE: Final = frozenset({"env", "variables", "security"})
"""Values under these keys are not repeated in messages: they may be secrets."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` was most likely meant to be; None if none is close."""
    choices = {_plain(key): key for key in known}
    plain = _plain(word)
    other = _OTHER_WORDS.get(plain)
    if other is not None and _plain(other) in choices:
        return other
    matches = difflib.get_close_matches(plain, choices, 1, 0.6)
    return choices[matches[0]] if matches else None


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


def models_in(annotation: Any) -> list[type[SpecModel]]:
    """Return the models that a value of this annotation, or an item of it, may have."""
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple):
        return [model for part in get_args(annotation) for model in models_in(part)]
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return [annotation]
    return []


def known_keys(path: FieldPath) -> list[str]:
    """Return the keys that the graph file allows in the mapping at ``path``."""
    models: list[type[SpecModel]] = [GraphSpec]
    for step in path:
        if isinstance(step, int):
            continue  # `models_in` has already returned the models of a list's items.
        models = [
            inner
            for model in models
            for info in model.model_fields.values()
            if info.alias == step
            for inner in models_in(info.annotation)
        ]
    return [info.alias or "" for model in models for info in model.model_fields.values()]


def report_validation(error: ValidationError, document: Document, report: Report) -> None:
    """Add pydantic's errors to ``report``, except those at paths that already have an error."""
    for detail in error.errors(include_url=False):
        path = _written_path(detail, document)
        if not any(report.has_error_at(document, path[:n]) for n in range(1, len(path) + 1)):
            message, remedy = _message_and_remedy(detail, path)
            report.error(document, path, message, remedy)


def _written_path(detail: ErrorDetails, document: Document) -> FieldPath:
    """Return the path of an error in the file: pydantic's location without the tags of unions."""
    path: FieldPath = ()
    for step in detail["loc"]:
        container = document.value_at(path)
        if isinstance(step, int) or (isinstance(container, dict) and step in container):
            path = (*path, step)
    if detail["type"] == "missing":
        return (*path, detail["loc"][-1])
    if detail["type"].startswith("union_tag"):
        return (*path, str(detail.get("ctx", {}).get("discriminator", "")).strip("'"))
    return path


def _message_and_remedy(detail: ErrorDetails, path: FieldPath) -> tuple[str, str | None]:
    kind, last = detail["type"], path[-1] if path else ""
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return "this key is missing", _REMEDIES["missing"]
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        head, _, remedy = message.rpartition("; ")
        return (head, remedy) if head else (message, None)
    actual = "" if _PRIVATE & set(path) else f", found {_short(detail['input'])}"
    message = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{actual}"
    if path == ("infrastructure", "nats", "replicas"):
        # The type allows 1 and 3 because etcd shares it; NATS takes only 1.
        return (
            f"NATS runs as one replica{actual}",
            "write 1, or use nats.endpoints for a cluster that you run",
        )
    if kind == "string_pattern_mismatch":
        return f"this is not a valid {last}{actual}", _FIELD_REMEDIES.get(str(last))
    if kind == "union_tag_invalid":
        context = detail.get("ctx", {})
        return (
            f"this is not an allowed value, found {_short(context.get('tag'))}",
            f"write one of {context.get('expected_tags')}",
        )
    if kind == "union_tag_not_found":
        return "this key is missing", _REMEDIES["missing"]
    if kind in ("enum", "literal_error"):
        expected = str(detail.get("ctx", {}).get("expected", ""))
        return f"this is not an allowed value{actual}", f"write one of {expected}"
    return message, _REMEDIES.get(kind, "correct the value")


def _unknown_key(path: FieldPath) -> tuple[str, str]:
    word = str(path[-1])
    if path[0] == "infrastructure" and word == "scaling":
        return "etcd and NATS cannot be scaled", "remove scaling; it is for components"
    known = known_keys(path[:-1])
    near = nearest(word, known)
    remedy = f"write {near}" if near else f"write one of {', '.join(sorted(known))}"
    return f"unknown key {word!r}", remedy


def _short(value: object) -> str:
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    text = str(value) if isinstance(value, bool | int | float) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
