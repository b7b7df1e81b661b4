"""Graphs and passes for tests of rollouts."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, Plan
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    with_rollout,
)
from tests.helpers.simulated_ecs import SimulatedEcs

DEADLINE = 300.0


def rolls_by(base: Graph, name: str, **changes: object) -> Graph:
    """``base`` with other rollout settings for one component."""
    return replace(
        base,
        components=tuple(
            with_rollout(c, **changes) if c.name == name else c for c in base.components
        ),
    )


def ready_graph(decode: int, gpus: int, **rollout: object) -> tuple[Graph, SimulatedEcs]:
    declared = rolls_by(
        graph(decode=decode), "decode", progress_deadline_seconds=DEADLINE, **rollout
    )
    ecs = SimulatedEcs(declared, gpu_instances=gpus)
    converge(ecs, declared, Memory(started_at=ecs.now))
    return declared, ecs


def fresh_pass(ecs: SimulatedEcs, declared: Graph) -> Plan:
    """A pass of a daemon that has just started; just since when replicas are ready it has seen:
    that they stay so for a lease takes a daemon that stays."""
    result = run_pass(ecs, declared, Memory(started_at=ecs.now, ready_since=ecs.ready_since))
    ecs.ready_since = dict(result.memory.ready_since)
    return result


def degraded(result: Plan, name: str) -> str | None:
    """The reason word of the component's Degraded condition, where it holds."""
    return next(
        (
            c.reason
            for c in result.conditions
            if c.type is ConditionType.DEGRADED and c.component == name and c.status
        ),
        None,
    )
