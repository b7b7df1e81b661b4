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
from typing import Any

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
        told = ", ".join(f"{k}={'|'.join(v)}" for k, v in sorted(self.context.items()))
        return f"{self.action} on {self.resource}" + (f" ({told})" if told else "")


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer; ``statements`` are the Sids of the matching Allow statements."""

    allowed: bool
    statements: tuple[str, ...] = ()


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


@cache
def _pattern(text: str, ignore_case: bool = False) -> re.Pattern[str]:
    if "${" in text:
        raise ValueError(f"policy variables are not known here: {text}")
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _like(wanted: str, found: str) -> bool:
    return _pattern(wanted).fullmatch(found) is not None


def _arn_like(wanted: str, found: str) -> bool:
    """Match part by part: before the resource part a wildcard does not match a colon."""
    ours, theirs = wanted.split(":", 5), found.split(":", 5)
    return len(ours) == len(theirs) == 6 and all(map(_like, ours, theirs))


OPERATORS: Mapping[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (lambda wanted, found: wanted == found, True),
    "StringNotEquals": (lambda wanted, found: wanted == found, False),
    "StringLike": (_like, True),
    "StringNotLike": (_like, False),
    "ArnEquals": (_arn_like, True),
    "ArnLike": (_arn_like, True),
    "ArnNotEquals": (_arn_like, False),
    "Bool": (lambda wanted, found: wanted.lower() == found.lower(), True),
}
"""Operator -> (comparison, whether it must hold)."""


def _holds(operator: str, wanted: Iterable[str], found: Sequence[str] | None) -> bool:
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return any((w.lower() == "true") == (found is None) for w in wanted)
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if name not in OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"condition operator {operator} is not known here")
    compare, positive = OPERATORS[name]
    if found is None:
        # If the key is absent, ForAllValues and negated operators hold; the others do not.
        return if_exists or quantifier == "ForAllValues" or (not quantifier and not positive)
    one = [any(compare(w, value) for w in wanted) is positive for value in found]
    return any(one) if quantifier == "ForAnyValue" else all(one)


def _matches(statement: Json, request: AccessRequest) -> bool:
    unknown = set(statement) - ELEMENTS
    if unknown:
        raise ValueError(f"policy elements {sorted(unknown)} are not known here")
    if not any(
        _pattern(a, ignore_case=True).fullmatch(request.action)
        for a in _listed(statement["Action"])
    ):
        return False
    if not any(_like(r, request.resource) for r in _listed(statement["Resource"])):
        return False
    context = {k.lower(): v for k, v in request.context.items()}
    return all(
        _holds(operator, _listed(wanted), context.get(key.lower()))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def decide(policies: Iterable[Json], request: AccessRequest) -> Decision:
    """Whether ``policies`` allow the request. Raises ValueError for unsupported policies."""
    allows: list[str] = []
    for policy in policies:
        for statement in policy["Statement"]:
            if not _matches(statement, request):
                continue
            match statement["Effect"]:
                case "Deny":
                    return Decision(False)
                case "Allow":
                    allows.append(statement.get("Sid", ""))
                case other:
                    raise ValueError(f"Effect {other!r} is neither Allow nor Deny")
    return Decision(bool(allows), tuple(allows))
