"""Helpers that build invalid task definitions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.unit.definitions.builders import Json, container, ec2

FIRST = "containerDefinitions[0]"
SECOND = "containerDefinitions[1]"


@dataclass(frozen=True)
class InvalidDefinition:
    """A task definition that violates ``rule`` at ``field``, and no other rule."""

    rule: str
    definition: Json
    field: str


def changed(definition: Json, **members: Any) -> Json:
    """Return a copy of a task definition with other members."""
    return {**copy.deepcopy(definition), **members}


def without_role(definition: Json) -> Json:
    """Return a copy of a task definition without an execution role."""
    return {k: v for k, v in definition.items() if k != "executionRoleArn"}


def with_container(
    build: Callable[..., Json], field: str, rule: str, **members: Any
) -> InvalidDefinition:
    """Return a task definition with one container, which violates ``rule`` at ``field``."""
    return InvalidDefinition(rule, build(container(**members)), f"{FIRST}.{field}")


def linux(**members: Any) -> Json:
    """Return the members of a container with Linux parameters."""
    return {"linuxParameters": members}


def bridge(*containers: Json, **members: Any) -> Json:
    """Return a task definition in bridge mode."""
    return ec2(*containers, mode="bridge", **members)


def awsvpc(*containers: Json, **members: Any) -> Json:
    """Return a task definition in awsvpc mode."""
    return ec2(*containers, mode="awsvpc", **members)
