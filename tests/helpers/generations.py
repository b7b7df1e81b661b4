"""Components of a generation, for tests of what is rendered where generations are in force."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ecs_dynamo.model.graph import Component


@dataclass(frozen=True, slots=True)
class _OfGeneration(Component):
    generation: str | None = None


def of_generation(component: Component, generation: str = "g1a2b3c4d") -> Component:
    """Return ``component`` as a member of ``generation``."""
    values = {field.name: getattr(component, field.name) for field in fields(Component)}
    return _OfGeneration(**{**values, "generation": generation})
