"""Transformations of JSON values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

JsonPath = tuple[str | int, ...]
"""Keys and list indexes from the root of a value to one of its parts."""


def _unchanged(mapping: dict[str, Any], _path: JsonPath) -> dict[str, Any]:
    return mapping


def map_json(
    value: Any,
    leaf: Callable[[Any, JsonPath], Any],
    mapping: Callable[[dict[str, Any], JsonPath], Any] = _unchanged,
    path: JsonPath = (),
) -> Any:
    """Return a copy of a JSON value in which each leaf is replaced by ``leaf(value, path)``.

    Leaves are texts, numbers, booleans and nulls. ``mapping`` receives each copied mapping after
    its items, and returns what replaces it. Tuples become lists.
    """
    if isinstance(value, Mapping):
        copied = {k: map_json(v, leaf, mapping, (*path, k)) for k, v in value.items()}
        return mapping(copied, path)
    if isinstance(value, list | tuple):
        return [map_json(item, leaf, mapping, (*path, i)) for i, item in enumerate(value)]
    return leaf(value, path)
