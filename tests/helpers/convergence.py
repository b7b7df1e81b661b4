"""Passes of planning over the simulated ECS, until the graph converges."""

from __future__ import annotations

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, Plan
from ecs_dynamo.planning import plan
from tests.helpers.simulated_ecs import SimulatedEcs


def run_pass(
    ecs: SimulatedEcs,
    declared: Graph,
    memory: Memory,
    *,
    stop_after: int | None = None,
    seconds: float = 10.0,
) -> Plan:
    result = plan(declared, ecs.snapshot(), memory, ecs.clock)
    ecs.execute(result.actions[:stop_after], twice=True)  # A retried call must be harmless.
    ecs.step(seconds)
    return result


def converge(ecs: SimulatedEcs, declared: Graph, memory: Memory, passes: int = 120) -> Plan:
    for _ in range(passes):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        if result.converged:
            return result
    raise AssertionError(f"not converged: {result.waits} {result.actions}")


def converged(declared: Graph, gpus: int = 8) -> tuple[SimulatedEcs, Memory]:
    ecs = SimulatedEcs(declared, gpu_instances=gpus)
    return ecs, converge(ecs, declared, Memory(started_at=ecs.now)).memory
