"""Graphs and passes for tests of rollouts."""

from __future__ import annotations

from dataclasses import replace

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
    """Run a pass of a daemon that has just started.

    It only remembers since when replicas have been ready: otherwise none could stay ready for a
    discovery lease.
    """
    result = run_pass(ecs, declared, Memory(started_at=ecs.now, ready_since=ecs.ready_since))
    ecs.ready_since = dict(result.memory.ready_since)
    return result
