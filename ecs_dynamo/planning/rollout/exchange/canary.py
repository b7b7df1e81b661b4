"""The canary of an exchange: one complete set of the new generation, which bakes first."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.rollout.exchange.sides import PoolSides


def canary_seconds_left(observed: ObservedGraph, sides: Sequence[PoolSides], wall: float) -> float:
    """Return how long the first set still bakes, in seconds; 0 without a canary.

    It bakes from the start of the last of its replicas that is ready, according to ECS: a new
    daemon reaches the same answer. Where a set is not ready yet, the whole bake time is left. A
    generation that takes over from a withdrawn one has proven itself before.
    """
    generations = observed.graph.generations
    if generations.target != generations.declared:
        return 0.0
    bakes = [
        pool.target.component.rollout.canary.bake_seconds
        for pool in sides
        if pool.target.component.rollout.canary is not None
    ]
    if not bakes:
        return 0.0
    starts = []
    for pool in sides:
        ready = pool.target.observed.ready(pool.target.observed.tasks)
        started = [t.started_at for t in ready if t.started_at is not None]
        if pool.desired > 0 and not started:
            return max(bakes)
        starts += sorted(started)[:1]
    return max(0.0, max(bakes) - (wall - max(starts, default=wall)))
