"""Types of RegisterTaskDefinition, from botocore's own service model.

botocore's validator is not used: it has no lines, names types that the user did not write, and
does not check enumerations. Numbers and texts that stand for each other (``cpu: 1024``,
``containerPort: "${PORT}"``) are converted to ECS's type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ecs_dynamo.common.botocore_data import VERSION
from ecs_dynamo.config.reading.document import FieldPath
from ecs_dynamo.config.reading.suggestions import nearest

Complain = Callable[[FieldPath, str, str], None]
"""Reports a problem: path, message and remedy."""

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def conform(
    value: Any, shape: Any, path: FieldPath, complain: Complain, texts: Callable[..., str | None]
) -> Any:
    """Return ``value`` converted to ``shape``; mismatches are reported through ``complain``.

    ``texts`` returns the text of a number or boolean in the file (``012`` rather than 12). Nulls in
    mappings, which the console exports, count as absent.
    """
    kind = shape.type_name
    if kind == "structure":
        return _structure(value, shape, path, complain, texts)
    if kind == "map":
        if not isinstance(value, dict):
            return _wrong(value, path, complain, "a mapping")
        return {
            key: conform(item, shape.value, (*path, key), complain, texts)
            for key, item in value.items()
            if item is not None
        }
    if kind == "list":
        if not isinstance(value, list):
            return _wrong(value, path, complain, "a list")
        return [
            conform(item, shape.member, (*path, index), complain, texts)
            for index, item in enumerate(value)
        ]
    if kind in ("integer", "long"):
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return _wrong(value, path, complain, "a whole number")
        if abs(value) >= 2 ** (31 if kind == "integer" else 63):
            complain(path, f"{str(value)[:30]} is too large", "write a smaller number")
        return value
    if kind == "boolean":
        if value in ("true", "false"):
            value = value == "true"
        return value if isinstance(value, bool) else _wrong(value, path, complain, "true or false")
    if kind in ("float", "double"):
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        return value if ok else _wrong(value, path, complain, "a number")
    return _string(value, shape, path, complain, texts)


_NEWER: Final = {"sharingStrategy": "1.44.8"}
"""Member of ECS's API that an old botocore cannot send -> the botocore version that added it."""


def _structure(
    value: Any, shape: Any, path: FieldPath, complain: Complain, texts: Callable[..., str | None]
) -> Any:
    if not isinstance(value, dict):
        return _wrong(value, path, complain, "a mapping")
    conformed: dict[str, Any] = {}
    for key, item in value.items():
        if key not in shape.members and key in _NEWER:
            complain(
                (*path, key),
                f"the AWS client in use (botocore {VERSION}) does not know {key!r}, "
                f"which botocore {_NEWER[key]} added",
                "leave it out; give each container GPUs of its own with value",
            )
        elif key not in shape.members:
            near = nearest(key, shape.members)
            complain(
                (*path, key),
                f"ECS does not know {key!r} here",
                f"write {near}" if near else f"write one of {', '.join(sorted(shape.members))}",
            )
        elif item is not None:
            conformed[key] = conform(item, shape.members[key], (*path, key), complain, texts)
    for key in shape.required_members:
        if key not in conformed and not (key == "value" and "sharingStrategy" in value):
            complain((*path, key), "this key is missing, and ECS requires it", "add it")
    return conformed


def _string(
    value: Any, shape: Any, path: FieldPath, complain: Complain, texts: Callable[..., str | None]
) -> Any:
    if isinstance(value, bool):
        value = texts(path) or ("true" if value else "false")
    elif isinstance(value, int | float):
        value = texts(path) or str(value)
    if not isinstance(value, str):
        return _wrong(value, path, complain, "text")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        near = nearest(value, allowed)
        remedy = f"write {near}" if near else f"write one of {', '.join(allowed)}"
        complain(path, f"ECS does not know {value[:60]!r} here", remedy)
    return value


def _wrong(value: Any, path: FieldPath, complain: Complain, expected: str) -> Any:
    kind = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}.get(
        type(value), "nothing" if value is None else "a number"
    )
    complain(path, f"this must be {expected}, found {kind}", f"write {expected}")
    return value
