"""The cluster query language of placement constraints. Pure.

Example: ``attribute:x == a and ec2InstanceId in [b]``. The supported subjects are attributes and
``ec2InstanceId``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ecs_dynamo.local.wire.protocol import invalid

_CONDITION = re.compile(
    r"""(?:attribute:(?P<name>[\w.\-/]+)|(?P<id>ec2InstanceId))\s*
        (?:(?P<exists>!?\s*exists)
          |(?P<operator>==|!=|=~|equals|not_equals|matches)\s*(?P<value>"[^"]*"|'[^']*'|[^\s\[\]()]+)
          |(?P<member>in|not_in)\s*\[(?P<values>[^\]]*)\])$""",
    re.VERBOSE,
)


EC2_INSTANCE_ID = "@ec2InstanceId"
"""The key of the instance's id among its attributes. No attribute name can contain ``@``."""
_QUOTES = "\"'"


def matches(expression: str, attributes: Mapping[str, str]) -> bool:
    """Whether an instance with ``attributes`` matches. Raises EcsError if it is invalid."""
    return any(
        all(_condition_holds(text, attributes) for text in re.split(r"\s+and\s+|\s*&&\s*", term))
        for term in re.split(r"\s+or\s+|\s*\|\|\s*", expression.strip())
    )


def _condition_holds(text: str, attributes: Mapping[str, str]) -> bool:
    text = text.strip()
    if text.startswith("not(") and text.endswith(")"):
        return not _condition_holds(text[4:-1], attributes)
    condition = _CONDITION.match(text)
    if condition is None:
        raise invalid(f"Invalid expression in placement constraint: {text}")
    actual = attributes.get(condition["name"] or EC2_INSTANCE_ID)
    if condition["exists"]:
        return (actual is None) == condition["exists"].startswith("!")
    if condition["member"]:
        values = {v.strip().strip(_QUOTES) for v in condition["values"].split(",")}
        return (actual in values) == (condition["member"] == "in")
    value = condition["value"].strip(_QUOTES)
    if condition["operator"] in ("=~", "matches"):
        return actual is not None and re.fullmatch(value, actual) is not None
    return (actual == value) == (condition["operator"] in ("==", "equals"))
