"""Comparison of AWS's answers with the types that botocore's service models declare.

botocore fills the output shape with whatever the JSON contains. Without this check a number instead
of a list would cause a TypeError much later.
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
"""Texts that botocore's handlers decode to documents (IAM, `json_decode_policies`)."""
_NUMBERS = ("integer", "long", "float", "double")


def wrong_type(shape: Any, value: Any, path: str = "") -> str | None:
    """Return the path of the first value that is not of its ``shape``'s type, or None."""
    type_name = shape.type_name
    if value is None or getattr(shape, "is_document_type", False) or shape.name in _DECODED:
        return None
    if type_name == "structure":
        if not isinstance(value, dict):
            return path or "the answer"
        for name, member in shape.members.items():
            if name in value and (wrong := wrong_type(member, value[name], f"{path}.{name}")):
                return wrong
        return None
    if type_name == "list":
        if not isinstance(value, list):
            return path
        each = (wrong_type(shape.member, item, f"{path}[]") for item in value)
        return next((wrong for wrong in each if wrong), None)
    if type_name == "map":
        if not isinstance(value, dict):
            return path
        each = (wrong_type(shape.value, item, f"{path}[]") for item in value.values())
        return next((wrong for wrong in each if wrong), None)
    expected = _SCALARS.get(type_name)
    if expected is None:
        return None
    if not isinstance(value, expected) or (type_name in _NUMBERS and isinstance(value, bool)):
        return path
    return path if isinstance(value, float) and not math.isfinite(value) else None
