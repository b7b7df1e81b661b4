"""ECS's own rules of task definitions, in one table with their sources.

`ecs_shape` knows the types of RegisterTaskDefinition; this table knows the rest of what
RegisterTaskDefinition and CreateService reject, so that `validate` rejects it first. Sources are
the API reference (botocore's service model carries its text), the developer guide, and the words
with which ECS answers. What ECS would accept is accepted here.
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
