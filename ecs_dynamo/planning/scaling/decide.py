"""Desired counts: what each component's own policy says, or the declared count."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Decision, Memory, Recommendation
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.endpoints import known_service
from ecs_dynamo.planning.scaling.policy import ScalingInput
from ecs_dynamo.planning.scaling.registry import POLICIES


def decide_counts(
    graph: Graph, snapshot: Snapshot, memory: Memory, now: float, blocked: Mapping[str, object]
) -> tuple[dict[str, int], list[Decision], dict[str, tuple[Recommendation, ...]]]:
    """Desired count of every component; scaling decides where it is declared."""
    counts: dict[str, int] = {}
    decisions: list[Decision] = []
    history: dict[str, tuple[Recommendation, ...]] = {}
    for component in graph.components:
        seen = snapshot.components.get(component.name)
        service = known_service(seen) if seen else None
        counts[component.name] = component.replicas
        if component.scaling is None or component.is_infrastructure:
            continue
        past = memory.recommendations.get(component.name, ())
        if service is None or component.name in blocked:
            history[component.name] = past
            continue
        output = POLICIES[component.scaling.policy](
            ScalingInput(
                component=component.name,
                spec=component.scaling,
                current=service.desired,
                signals=tuple(s for s in snapshot.signals if s.component == component.name),
                history=past,
                observing_since=memory.started_at,
                now=now,
            )
        )
        counts[component.name] = output.decision.desired
        decisions.append(output.decision)
        history[component.name] = output.history
    return counts, decisions, history
