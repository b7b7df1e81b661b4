"""The shape of a JSON document: which types appear at which path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any


def _entries(value: Any, path: str, maps: Collection[str]) -> Iterator[tuple[str, str]]:
    if value is None:
        yield path, "null"
    elif isinstance(value, bool):
        yield path, "boolean"
    elif isinstance(value, int | float):
        yield path, "number"
    elif isinstance(value, str):
        yield path, "string"
    elif isinstance(value, list):
        yield path, "array"
        for item in value:
            yield from _entries(item, f"{path}[]", maps)
    else:
        yield path, "object"
        for key, item in value.items():
            name = "*" if path in maps else key
            yield from _entries(item, f"{path}.{name}" if path else name, maps)


def shape_of(documents: Iterable[Any], maps: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the types at every path of the documents, such as ``graphs[].tasks[].id``.

    ``maps`` are paths of objects whose keys are data; they are written as ``*``.
    """
    shape: dict[str, set[str]] = {}
    for document in documents:
        for path, kind in _entries(document, "", maps):
            shape.setdefault(path, set()).add(kind)
    return {path: sorted(kinds) for path, kinds in sorted(shape.items()) if path}
