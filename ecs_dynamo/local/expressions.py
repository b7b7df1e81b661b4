"""The cluster query language on attributes: ``attribute:x == a and attribute:y in [b]``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ecs_dynamo.local.protocol import invalid

_ONE = re.compile(
    r"""attribute:(?P<name>[\w.\-/]+)\s*
        (?:(?P<exists>!?\s*exists)
          |(?P<operator>==|!=|=~|equals|not_equals|matches)\s*(?P<value>"[^"]*"|[^\s\[\]()]+)
          |(?P<member>in|not_in)\s*\[(?P<values>[^\]]*)\])$""",
    re.VERBOSE,
)


def matches(expression: str, attributes: Mapping[str, str]) -> bool:
    """Whether an instance meets the expression. Raises EcsError where it is not understood."""
    return any(
        all(_one(part, attributes) for part in re.split(r"\s+and\s+|\s*&&\s*", either))
        for either in re.split(r"\s+or\s+|\s*\|\|\s*", expression.strip())
    )


def _one(text: str, attributes: Mapping[str, str]) -> bool:
    text = text.strip()
    if text.startswith("not(") and text.endswith(")"):
        return not _one(text[4:-1], attributes)
    found = _ONE.match(text)
    if found is None:
        raise invalid(f"Invalid expression in placement constraint: {text}")
    have = attributes.get(found["name"])
    if found["exists"]:
        return (have is None) == found["exists"].startswith("!")
    if found["member"]:
        values = {v.strip().strip('"') for v in found["values"].split(",")}
        return (have in values) == (found["member"] == "in")
    value = found["value"].strip('"')
    if found["operator"] in ("=~", "matches"):
        return have is not None and re.fullmatch(value, have) is not None
    return (have == value) == (found["operator"] in ("==", "equals"))
