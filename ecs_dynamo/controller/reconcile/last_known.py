"""The last known value of what is not known now: shown with its age, and never as zero.

An AWS that does not answer says nothing of replicas that go on serving. What people and monitoring
are shown is therefore what was seen last, how old that is, and why nothing newer is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints, Plan, ReplicaCounts
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot
from ecs_dynamo.planning.observed.readiness import ready_tasks


@dataclass(frozen=True, slots=True)
class Known:
    """A component as it was when all of it was known. ``ready`` are ARNs of tasks."""

    at: Now
    seen: ComponentSnapshot
    ready: frozenset[str]
    replicas: ReplicaCounts


@dataclass(frozen=True, slots=True)
class LastKnown:
    """What is known of a graph: each component, and the endpoints, as of their last whole look."""

    components: Mapping[str, Known] = field(default_factory=dict)
    endpoints: Endpoints = field(default_factory=Endpoints)
    endpoints_at: Now | None = None

    def after(self, graph: Graph, snapshot: Snapshot, plan: Plan, now: Now) -> LastKnown:
        """With what one more pass knows."""
        components = {
            component.name: Known(
                now,
                snapshot.components[component.name],
                frozenset(t.arn for t in ready_tasks(graph, component, snapshot)),
                plan.replicas[component.name],
            )
            if component.name not in plan.unknown and component.name in plan.replicas
            else self.components.get(component.name)
            for component in graph.components
        }
        known = {name: one for name, one in components.items() if one is not None}
        if unknown_endpoints(graph, plan) is not None:
            return LastKnown(known, self.endpoints, self.endpoints_at)
        return LastKnown(known, plan.endpoints, now)


NOTHING_KNOWN = LastKnown()


def unknown_endpoints(graph: Graph, plan: Plan) -> str | None:
    """Why the endpoints are not known: a component that serves them is not. None: they are."""
    servers = (c.name for c in graph.components if c.roles & {Role.ETCD, Role.NATS})
    return next((f"{n}: {plan.unknown[n]}" for n in servers if n in plan.unknown), None)
