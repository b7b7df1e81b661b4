"""The context that every rule of a pass reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.exchange import Exchange
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.plan import Cause, Decision, Endpoints, Memory, Wait
from ecs_dynamo.model.service_settings import ServiceSettings
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.obstacles import Doubts, Obstacle
from ecs_dynamo.planning.desired.placement import default_strategy, placement_constraints
from ecs_dynamo.planning.desired.ports import PortPlan
from ecs_dynamo.planning.observed.facts import ObservedGraph


@dataclass(frozen=True, slots=True)
class Failures:
    """Declarations whose rollout failed or was rolled back.

    ``remembered``: component -> declaration that must not be tried again. Of those that are still
    declared, by component: ``messages``, ``reasons`` (words) and ``causes`` (why tasks failed).
    """

    remembered: Mapping[str, str] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    causes: Mapping[str, Cause] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanContext:
    """The facts, the desired state and the time of one pass. Rules read it and never change it."""

    observed: ObservedGraph
    memory: Memory
    now: Now
    ports: PortPlan
    components: tuple[ComponentState, ...]
    """Every component that the snapshot contains."""
    obstacles: Mapping[str, Obstacle] = field(default_factory=dict)
    doubts: Doubts = field(default_factory=Doubts)
    failures: Failures = field(default_factory=Failures)
    deferrals: tuple[Wait, ...] = ()
    """Changes of counts that wait for something."""
    decisions: tuple[Decision, ...] = ()
    scaling: Mapping[str, ScalingState] = field(default_factory=dict)
    exchange: Exchange = field(default_factory=Exchange)
    ready_since: Mapping[str, float] = field(default_factory=dict)
    """Task ARN -> since when it has been ready, in monotonic seconds."""
    unready_since: Mapping[str, float] = field(default_factory=dict)
    """ARN of a running worker that was ready -> since when it is not, in monotonic seconds."""
    stale: tuple[str, ...] = ()
    """Dependants whose running revision has endpoints that no longer serve it."""
    actionable: tuple[ComponentState, ...] = field(init=False)
    """The components without an obstacle."""
    infrastructure: tuple[ComponentState, ...] = field(init=False)
    dependants: tuple[ComponentState, ...] = field(init=False)

    def __post_init__(self) -> None:
        actionable = tuple(s for s in self.components if s.name not in self.obstacles)
        # The class is frozen, so the derived fields are set as dataclasses themselves do it.
        for name, value in {
            "actionable": actionable,
            "infrastructure": tuple(s for s in actionable if s.component.is_infrastructure),
            "dependants": tuple(s for s in actionable if not s.component.is_infrastructure),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def graph(self) -> Graph:
        return self.observed.graph

    @property
    def snapshot(self) -> Snapshot:
        return self.observed.snapshot

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints that dependants should have."""
        return self.observed.endpoints

    def settings(self, state: ComponentState) -> ServiceSettings:
        """Return the settings that the component's service should have, with their defaults."""
        component = state.component
        settings = component.settings
        constraints = placement_constraints(component, one_per_instance=state.one_per_instance)
        settings = replace(settings, placement_constraints=constraints)
        if settings.placement_strategy is None:
            strategy = default_strategy(component, self.snapshot)
            settings = replace(settings, placement_strategy=strategy)
        return settings
