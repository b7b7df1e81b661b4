"""Deprecated keys of the graph file: accepted with a warning, and replaced by the current ones.

The models declare them (`SpecModel.deprecated_keys`). Problems still name the key in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecs_dynamo.config.reading.document import Document, FieldPath
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.reading.suggestions import models_in
from ecs_dynamo.model.spec.base import SpecModel
from ecs_dynamo.model.spec.graph import GraphSpec


@dataclass(frozen=True, slots=True)
class _Use:
    """A deprecated key in the mapping at ``place`` (a path of current keys).

    ``both``: the mapping has the current key as well.
    """

    place: FieldPath
    old: str
    new: str
    both: bool


def replace_deprecated_keys(document: Document, report: Report) -> Document:
    """Return a graph file's ``document`` with current keys instead of deprecated ones.

    Each deprecated key is a warning. A key that is given in both forms is an error.
    """
    uses = tuple(_uses(document.value, GraphSpec, ()))
    renamed = {(*use.place, use.old): use.new for use in uses if not use.both}
    current = replace(
        document,
        value=_with_current_keys(document.value, (), renamed),
        deprecated_keys={(*use.place, use.new): use.old for use in uses if not use.both},
    )
    for use in uses:
        if use.both:
            message = f"{use.old} is the deprecated name of {use.new}, and both keys are given"
            remedy = f"keep {use.new} and remove {use.old}"
            report.error(current, (*use.place, use.old), message, remedy)
        else:
            message = f"the key {use.old} is deprecated: its name is now {use.new}"
            report.warn(current, (*use.place, use.new), message, f"write {use.new}")
    return current


def _uses(value: Any, model: type[SpecModel], place: FieldPath) -> Iterator[_Use]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _uses(item, model, (*place, index))
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        name = model.deprecated_keys.get(key, key)
        if name != key:
            yield _Use(place, key, name, both=name in value)
        inner = _model_of(model, name)
        if inner is not None:
            yield from _uses(item, inner, (*place, name))


def _model_of(model: type[SpecModel], key: str) -> type[SpecModel] | None:
    """Return the model of the values under ``key``; None where there is none, or several."""
    for field in model.model_fields.values():
        if field.alias == key:
            models = models_in(field.annotation)
            return models[0] if len(models) == 1 else None
    return None


def _with_current_keys(value: Any, place: FieldPath, renamed: Mapping[FieldPath, str]) -> Any:
    """Return ``value`` with the keys of ``renamed`` (path of current keys -> current key)."""
    if isinstance(value, list):
        return [_with_current_keys(v, (*place, i), renamed) for i, v in enumerate(value)]
    if not isinstance(value, dict):
        return value
    current: dict[str, Any] = {}
    for key, item in value.items():
        name = renamed.get((*place, key), key)
        current[name] = _with_current_keys(item, (*place, name), renamed)
    return current
