"""The definition of a rule of the table, and helpers that rules share.

A rule is data: an id, the source of the fact, a message, a remedy, and a check that yields every
breach of it together with the values that complete the message and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ecs_dynamo.config.reading.document import FieldPath
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import network_mode_of

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
"""Valid names of families, containers and volumes (API reference)."""

API: Final = "ECS API reference, "
GUIDE: Final = "ECS developer guide, "
ANSWER: Final = "RegisterTaskDefinition's answer: "
"""Start of a source that is the message with which ECS rejects the task definition."""


@dataclass(frozen=True, slots=True)
class Content:
    """A task definition to check. ``fargate``: ECS validates it for Fargate, or it runs there.

    It is well-typed (`ecs_shape.conform`), except for the rules of structure, which take anything.
    """

    template: Mapping[str, Any]
    fargate: bool = False

    @property
    def mode(self) -> str:
        """The network mode, or ECS's default for it."""
        return network_mode_of(self.template)

    def containers(self) -> Iterator[tuple[FieldPath, Mapping[str, Any]]]:
        """Yield each container with its path."""
        containers = self.template.get(CONTAINERS)
        for index, container in enumerate(containers if isinstance(containers, list) else ()):
            if isinstance(container, dict):
                yield (CONTAINERS, index), container

    def entries(self, key: str) -> Iterator[tuple[FieldPath, Mapping[str, Any], Mapping[str, Any]]]:
        """Yield path, entry and container of each item in the containers' list ``key``."""
        for path, container in self.containers():
            items = container.get(key)
            for index, entry in enumerate(items if isinstance(items, list) else ()):
                if isinstance(entry, dict):
                    yield (*path, key, index), entry, container

    def names(self) -> list[str]:
        """Return the names of the containers, in order."""
        return [str(container.get("name", "")) for _, container in self.containers()]


@dataclass(frozen=True, slots=True)
class Breach:
    """A path in the task definition that breaks a rule, and values for the rule's texts."""

    path: FieldPath
    values: Mapping[str, Any] = field(default_factory=dict)


Breaches = Iterator[Breach]


@dataclass(frozen=True, slots=True)
class Rule:
    """One fact that ECS enforces. ``message`` and ``remedy`` are format strings."""

    id: str
    source: str
    message: str
    remedy: str
    check: Callable[[Content], Breaches]


@dataclass(frozen=True, slots=True)
class Violation:
    """A breach of a rule, with its complete message and remedy."""

    rule: Rule
    path: FieldPath
    message: str
    remedy: str


def violations(rules: tuple[Rule, ...], content: Content) -> Iterator[Violation]:
    """Yield every breach of ``rules`` in ``content``."""
    for rule in rules:
        for breach in rule.check(content):
            message = rule.message.format(**breach.values)
            remedy = rule.remedy.format(**breach.values)
            yield Violation(rule=rule, path=breach.path, message=message, remedy=remedy)


def shown(value: object) -> str:
    """Return a value as text for a message, of at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def within(*keys: str, least: int, most: int | None = None) -> Callable[[Content], Breaches]:
    """Return a check that the number at ``keys`` of each container is in a range."""

    def check(content: Content) -> Breaches:
        for path, container in content.containers():
            value: Any = container
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            if isinstance(value, int) and (value < least or (most is not None and value > most)):
                yield Breach((*path, *keys), {"found": shown(value), "least": least, "most": most})

    return check


def numeric(id_: str, source: str, *keys: str, least: int, most: int, unit: str = "") -> Rule:
    """Return the rule that the number at ``keys`` of each container is in a range."""
    return Rule(
        id_,
        API + source,
        f"ECS accepts a {keys[-1]} of {{least}} to {{most}}{unit}, found {{found}}",
        f"write {least} to {most}",
        within(*keys, least=least, most=most),
    )
