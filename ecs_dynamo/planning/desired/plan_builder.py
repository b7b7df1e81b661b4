"""The plan under construction: what each rule receives and returns, extended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.memory.health import HealthMemory, HealthProblem, Suspect
from ecs_dynamo.model.plan import AnyAction, Wait
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import Task


@dataclass(frozen=True, slots=True)
class Health:
    """Problems with replicas of good revisions, by component, and the memory for the next pass.

    The suspects in ``memory`` are those of this pass.
    """

    problems: Mapping[str, HealthProblem] = field(default_factory=dict)
    memory: HealthMemory = field(default_factory=HealthMemory)

    def suspects(self, tasks: Iterable[Task]) -> Mapping[str, Suspect]:
        """Return the suspects among ``tasks``, by ARN."""
        known = self.memory.suspects
        return {t.arn: known[t.arn] for t in tasks if t.arn in known}


@dataclass(frozen=True, slots=True)
class PlanBuilder:
    """Actions, waits and notes in the order in which the rules add them, and the health."""

    actions: tuple[AnyAction, ...] = ()
    waits: tuple[Wait, ...] = ()
    notes: tuple[str, ...] = ()
    health: Health = field(default_factory=Health)
    serves_nobody: str | None = None
    """Why the graph serves no requests although it did before."""

    def with_actions(self, actions: Iterable[AnyAction]) -> PlanBuilder:
        return replace(self, actions=(*self.actions, *actions))

    def with_wait(self, component: str, purpose: WaitPurpose, reason: str) -> PlanBuilder:
        return replace(self, waits=(*self.waits, Wait(component, reason, purpose)))

    def with_notes(self, notes: Iterable[str | None]) -> PlanBuilder:
        """Add ``notes``; None stands for a note that does not apply."""
        return replace(self, notes=(*self.notes, *filter(None, notes)))

    @property
    def components_with_actions(self) -> Collection[str]:
        """Names of the components, and of Auto Scaling groups, that have an action."""
        return {a.component for a in self.actions}
