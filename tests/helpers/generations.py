"""Generations of workers over the simulated ECS: the effective graph of each pass."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.generations import GenerationMode
from ecs_dynamo.model.graph import TAG_GENERATION, Component, Graph
from ecs_dynamo.model.plan import Memory, Plan
from ecs_dynamo.model.service import Service
from ecs_dynamo.planning.desired.generations.expansion import expand
from tests.helpers import convergence
from tests.helpers.simulated_ecs import SimulatedEcs


def of_generation(component: Component, generation: str = "g1a2b3c4d") -> Component:
    """Return ``component`` as a member of ``generation``."""
    return replace(component, generation=generation)


def effective_graph(ecs: SimulatedEcs, declared: Graph) -> Graph:
    """Return the graph that a daemon derives from the simulated services."""
    services: dict[str, dict[str, Service]] = {}
    for service in ecs.services.values():
        services.setdefault(service.cluster, {})[service.name] = ecs._service(service)
    return expand(declared, services, ecs.revisions)


def run_pass(ecs: SimulatedEcs, declared: Graph, memory: Memory) -> Plan:
    """Run one pass as the daemon does, over the effective graph."""
    ecs.graph = effective_graph(ecs, declared)
    return convergence.run_pass(ecs, ecs.graph, memory)


def converge(ecs: SimulatedEcs, declared: Graph, memory: Memory, passes: int = 150) -> Plan:
    """Run passes until the graph is converged or on hold."""
    for _ in range(passes):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        if result.converged or (result.failures and not result.actions and result.stuck):
            return result
    raise AssertionError(f"not converged: {result.waits} {result.actions}")


def running_generations(ecs: SimulatedEcs) -> set[str | None]:
    """Return the generations whose workers have replicas; None stands for plain workers."""
    services = [s for s in ecs.services.values() if s.component in ("prefill", "decode")]
    return {s.tags.get(TAG_GENERATION) for s in services if s.desired > 0}


def mode_of(ecs: SimulatedEcs, declared: Graph) -> GenerationMode:
    """Return the mode of the effective graph."""
    return effective_graph(ecs, declared).generations.mode
