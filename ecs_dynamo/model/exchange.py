"""The exchange of one generation of workers for another, as it is decided in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.generations import GenerationFailure
from ecs_dynamo.model.plan import Wait


@dataclass(frozen=True, slots=True)
class Exchange:
    """The desired counts of both sides, and what the exchange waits for.

    ``counts``: replicas by component, of all generations; ``totals``: by declared component, in all
    generations together. ``later``: components whose service is not created yet. Empty where only
    one generation runs.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    waits: tuple[Wait, ...] = ()
    stuck: Mapping[str, str] = field(default_factory=dict)
    """Component -> why it can only continue with more capacity, or another declaration."""
    frontends_first: bool = False
    """Frontends must roll out before new workers start: a running graph is adopted."""
    failure: GenerationFailure | None = None
    """Why the generation that comes up is to be withdrawn."""

    @property
    def in_progress(self) -> bool:
        return bool(self.counts)
