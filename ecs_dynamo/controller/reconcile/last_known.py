"""The last known state of components that cannot be observed now; it is never shown as zero.

When AWS does not answer, replicas probably continue to serve. People and monitoring are therefore
shown the last observation, its age, and the reason why there is no newer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints, Plan, ReplicaCounts
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot


@dataclass(frozen=True, slots=True)
class KnownComponent:
    """The last complete observation of a component. ``ready`` has the ARNs of its ready tasks."""

    at: Now
    snapshot: ComponentSnapshot
    ready: frozenset[str]
    replicas: ReplicaCounts


@dataclass(frozen=True, slots=True)
class LastKnown:
    """The last complete observations of a graph: of each component, and of the endpoints."""

    components: Mapping[str, KnownComponent] = field(default_factory=dict)
    endpoints: Endpoints = field(default_factory=Endpoints)
    endpoints_at: Now | None = None

    def after(self, graph: Graph, snapshot: Snapshot, plan: Plan, now: Now) -> LastKnown:
        """Return the state after one more pass."""
        components = {
            component.name: KnownComponent(
                now,
                snapshot.components[component.name],
                plan.ready.get(component.name, frozenset()),
                plan.replicas[component.name],
            )
            if component.name not in plan.unknown and component.name in plan.replicas
            else self.components.get(component.name)
            for component in graph.components
        }
        known = {name: state for name, state in components.items() if state is not None}
        if unknown_endpoints(graph, plan) is not None:
            return LastKnown(known, self.endpoints, self.endpoints_at)
        return LastKnown(known, plan.endpoints, now)


NOTHING_KNOWN = LastKnown()


def unknown_endpoints(graph: Graph, plan: Plan) -> str | None:
    """Return why the endpoints are unknown (a component that serves them is), or None."""
    servers = (c.name for c in graph.components if c.roles & {Role.ETCD, Role.NATS})
    return next((f"{n}: {plan.unknown[n]}" for n in servers if n in plan.unknown), None)
