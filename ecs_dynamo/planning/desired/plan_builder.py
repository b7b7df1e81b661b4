"""The plan under construction."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_dynamo.model.plan import AnyAction, Wait


@dataclass(slots=True)
class PlanBuilder:
    """What the rules of one pass add to; it never leaves `planning`."""

    actions: list[AnyAction] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wait(self, component: str, reason: str) -> None:
        self.waits.append(Wait(component, reason))
