"""ECS's own rules of task definitions, in one table with their sources.

`ecs_shape` checks the types of RegisterTaskDefinition. This table has the other rules of
RegisterTaskDefinition and CreateService, so that `validate` reports a breach first. Sources are the
API reference (whose text is in botocore's service model), the developer guide, and ECS's error
messages. Everything that ECS accepts is accepted here.
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.ecs_rules import (
    dependencies,
    fargate,
    options,
    ports,
    sizes,
    storage,
    structure,
)
from ecs_dynamo.config.ecs_rules.base import Content, Rule, Violation, violations

STRUCTURE: Final = structure.STRUCTURE
RULES: Final[tuple[Rule, ...]] = (
    *structure.RULES,
    *dependencies.RULES,
    *sizes.RULES,
    *ports.RULES,
    *storage.RULES,
    *options.RULES,
    *fargate.RULES,
)
"""The rules that require a task definition with a valid structure."""

__all__ = ["RULES", "STRUCTURE", "Content", "Rule", "Violation", "violations"]
