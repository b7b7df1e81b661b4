"""Passes of planning over the simulated ECS, until the graph converges."""

from __future__ import annotations

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, Plan
from ecs_dynamo.planning import plan
from tests.helpers.simulated_ecs import SimulatedEcs


def run_pass(
    ecs: SimulatedEcs,
    wanted: Graph,
    memory: Memory,
    *,
    stop_after: int | None = None,
    seconds: float = 10.0,
) -> Plan:
    made = plan(wanted, ecs.snapshot(), memory, ecs.clock)
    ecs.execute(made.actions[:stop_after], twice=True)  # A retried call must be harmless.
    ecs.step(seconds)
    return made


def converge(ecs: SimulatedEcs, wanted: Graph, memory: Memory, passes: int = 120) -> Plan:
    for _ in range(passes):
        made = run_pass(ecs, wanted, memory)
        memory = made.memory
        if made.converged:
            return made
    raise AssertionError(f"not converged: {made.waits} {made.actions}")


def converged(wanted: Graph, gpus: int = 8) -> tuple[SimulatedEcs, Memory]:
    ecs = SimulatedEcs(wanted, gpu_instances=gpus)
    return ecs, converge(ecs, wanted, Memory(started_at=ecs.now)).memory
