"""The cluster query language: ``attribute:x == a and ec2InstanceId in [b]``. Pure.

Of its subjects, attributes and the EC2 instance's id are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ecs_dynamo.local.wire.protocol import invalid

_ONE = re.compile(
    r"""(?:attribute:(?P<name>[\w.\-/]+)|(?P<id>ec2InstanceId))\s*
        (?:(?P<exists>!?\s*exists)
          |(?P<operator>==|!=|=~|equals|not_equals|matches)\s*(?P<value>"[^"]*"|'[^']*'|[^\s\[\]()]+)
          |(?P<member>in|not_in)\s*\[(?P<values>[^\]]*)\])$""",
    re.VERBOSE,
)


EC2_INSTANCE_ID = "@ec2InstanceId"
"""The instance's id among its attributes; no name of an attribute has such a character."""
_QUOTES = "\"'"


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
    have = attributes.get(found["name"] or EC2_INSTANCE_ID)
    if found["exists"]:
        return (have is None) == found["exists"].startswith("!")
    if found["member"]:
        values = {v.strip().strip(_QUOTES) for v in found["values"].split(",")}
        return (have in values) == (found["member"] == "in")
    value = found["value"].strip(_QUOTES)
    if found["operator"] in ("=~", "matches"):
        return have is not None and re.fullmatch(value, have) is not None
    return (have == value) == (found["operator"] in ("==", "equals"))
