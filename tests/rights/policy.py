"""IAM's evaluation of an identity's policies, for the part of the language that `iam/` uses.

After the IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition
operators": an explicit Deny wins, then any Allow, otherwise it is denied. All of a statement's
conditions must hold, and one of a condition's values is enough. Unsupported input is an error, so
that no statement is considered weaker than it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

Json = Mapping[str, Any]
ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A question to IAM: an action (``ecs:UpdateService``) on one resource (an ARN, or ``*``).

    ``context`` maps condition keys to their values; an absent key is not in the request.
    """

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        context = ", ".join(f"{k}={'|'.join(v)}" for k, v in sorted(self.context.items()))
        return f"{self.action} on {self.resource}" + (f" ({context})" if context else "")


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer; ``statements`` are the Sids of the matching Allow statements."""

    allowed: bool
    statements: tuple[str, ...] = ()


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


@cache
def _pattern(text: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    if "${" in text:
        raise ValueError(f"policy variables are not supported here: {text}")
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _like(pattern: str, value: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None


def _arn_like(pattern: str, value: str) -> bool:
    """Match part by part: before the resource part a wildcard does not match a colon."""
    patterns, parts = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(parts) == 6 and all(map(_like, patterns, parts))


class Operator(NamedTuple):
    """A condition operator: a comparison of a policy's value with a request's value."""

    matches: Callable[[str, str], bool]
    negated: bool = False


OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator(str.__eq__),
    "StringNotEquals": Operator(str.__eq__, negated=True),
    "StringLike": Operator(_like),
    "StringNotLike": Operator(_like, negated=True),
    "ArnEquals": Operator(_arn_like),
    "ArnLike": Operator(_arn_like),
    "ArnNotEquals": Operator(_arn_like, negated=True),
    "Bool": Operator(lambda expected, value: expected.lower() == value.lower()),
}


def _holds(operator: str, expected: Iterable[str], values: Sequence[str] | None) -> bool:
    """Return whether a condition holds; ``values`` is None if the request lacks the key."""
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return any((e.lower() == "true") == (values is None) for e in expected)
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if name not in OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"condition operator {operator} is not supported here")
    matches, negated = OPERATORS[name]
    if values is None:
        # If the key is absent, ForAllValues and negated operators hold; the others do not.
        return if_exists or quantifier == "ForAllValues" or (not quantifier and negated)
    results = [any(matches(e, value) for e in expected) is not negated for value in values]
    return any(results) if quantifier == "ForAnyValue" else all(results)


def _matches(statement: Json, request: AccessRequest) -> bool:
    unknown = set(statement) - ELEMENTS
    if unknown:
        raise ValueError(f"policy elements {sorted(unknown)} are not supported here")
    if not any(
        _pattern(a, ignore_case=True).fullmatch(request.action)
        for a in _listed(statement["Action"])
    ):
        return False
    if not any(_like(r, request.resource) for r in _listed(statement["Resource"])):
        return False
    context = {k.lower(): v for k, v in request.context.items()}
    return all(
        _holds(operator, _listed(expected), context.get(key.lower()))
        for operator, keys in statement.get("Condition", {}).items()
        for key, expected in keys.items()
    )


def decide(policies: Iterable[Json], request: AccessRequest) -> Decision:
    """Decide whether ``policies`` allow the request. Raises ValueError for unsupported policies."""
    allows: list[str] = []
    for policy in policies:
        for statement in policy["Statement"]:
            if not _matches(statement, request):
                continue
            match statement["Effect"]:
                case "Deny":
                    return Decision(allowed=False)
                case "Allow":
                    allows.append(statement.get("Sid", ""))
                case other:
                    raise ValueError(f"Effect {other!r} is neither Allow nor Deny")
    return Decision(bool(allows), tuple(allows))
