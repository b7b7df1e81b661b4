"""Whether an answer of AWS has the types that its operation declares.

botocore fills the output shape with whatever the JSON holds: a number where a list should be ends
in a TypeError, far from here. The types are those of botocore's service model.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

_SCALARS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "character": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "timestamp": datetime,
}
_DECODED = frozenset({"policyDocumentType"})
"""Texts that botocore's own handlers decode to documents (IAM, `json_decode_policies`)."""
_NUMBERS = ("integer", "long", "float", "double")


def wrong_type(shape: Any, value: Any, path: str = "") -> str | None:
    """The path of the first value that is not of its ``shape``'s type; None where all are."""
    kind = shape.type_name
    if value is None or getattr(shape, "is_document_type", False) or shape.name in _DECODED:
        return None
    if kind == "structure":
        if not isinstance(value, dict):
            return path or "the answer"
        for name, member in shape.members.items():
            if name in value and (found := wrong_type(member, value[name], f"{path}.{name}")):
                return found
        return None
    if kind == "list":
        if not isinstance(value, list):
            return path
        each = (wrong_type(shape.member, item, f"{path}[]") for item in value)
        return next((found for found in each if found), None)
    if kind == "map":
        if not isinstance(value, dict):
            return path
        each = (wrong_type(shape.value, item, f"{path}[]") for item in value.values())
        return next((found for found in each if found), None)
    expected = _SCALARS.get(kind)
    if expected is None:
        return None
    if not isinstance(value, expected) or (kind in _NUMBERS and isinstance(value, bool)):
        return path
    return path if isinstance(value, float) and not math.isfinite(value) else None
