"""An exchange of generations as it is observed: both sides of each pool of workers, and its step.

The target generation is the one that is to have all replicas: the declared one, or the one to which
a withdrawn generation fell back. The others run beside it until it serves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.model.exchange import Exchange
from ecs_dynamo.model.generations import PLAIN
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import Wait
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service import good_number
from ecs_dynamo.planning.capacity.surge import FreeCapacity, free_capacity, surge_left
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.rollout.exchange.steps import (
    Pool,
    PoolStep,
    levels_of,
    next_step,
    room_in_proportion,
)


@dataclass(frozen=True, slots=True)
class PoolSides:
    """A component of workers in the target generation, and in the others, the best first.

    ``desired``: replicas in all generations together.
    """

    target: ComponentState
    beside: tuple[ComponentState, ...]
    desired: int

    @property
    def is_prefill(self) -> bool:
        """Whether its workers do nothing but prefill."""
        roles = self.target.component.roles & {Role.PREFILL, Role.DECODE, Role.WORKER}
        return roles == {Role.PREFILL}

    @property
    def states(self) -> tuple[ComponentState, ...]:
        return (self.target, *self.beside)


def _desired(state: ComponentState) -> int:
    """Return the desired count that the service of a generation has now."""
    return state.service.desired if state.service is not None else 0


def find_sides(
    observed: ObservedGraph, states: Iterable[ComponentState], desired: Mapping[str, int]
) -> tuple[PoolSides, ...]:
    """Return both sides of each pool; nothing if no other generation runs.

    ``desired``: replicas of all generations together, by declared component.
    """
    targets: dict[str, ComponentState] = {}
    beside: dict[str, list[ComponentState]] = {}
    for state in states:
        component = state.component
        if component.declared_name:
            beside.setdefault(component.origin, []).append(state)
        elif component.is_worker:
            targets[state.name] = state
    if not beside:
        return ()
    previous = observed.graph.generations.previous
    whole = _whole_generations(targets, beside, desired)

    def rank(state: ComponentState) -> tuple[bool, bool, bool, str]:
        generation = state.component.generation
        return (
            generation not in whole,
            (generation or PLAIN) != previous,
            good_number(state.service) is None,
            state.name,
        )

    return tuple(
        PoolSides(target, tuple(sorted(beside.get(name, ()), key=rank)), desired[name])
        for name, target in targets.items()
    )


def _whole_generations(
    targets: Iterable[str],
    beside: Mapping[str, Sequence[ComponentState]],
    desired: Mapping[str, int],
) -> frozenset[str | None]:
    """Return the other generations with a replica of every pool, which may serve on their own."""
    pools = [name for name in targets if desired[name] > 0]
    present = [
        {
            s.component.generation
            for s in beside.get(name, ())
            if _desired(s) > 0 and s.observed.readiness.may_serve
        }
        for name in pools
    ]
    return frozenset(set.intersection(*present)) if present else frozenset()


def pause(
    sides: Sequence[PoolSides],
    reason: str,
    *,
    serving: Collection[str | None] | None = None,
) -> Exchange:
    """Return the exchange with all counts as they are.

    With ``serving``, other generations than these and the target are released.
    """
    states = [s for pool in sides for s in pool.states]
    released = {
        s.name
        for pool in sides
        for s in pool.beside
        if serving is not None and s.component.generation not in serving
    }
    waits = tuple(
        Wait(pool.target.name, reason, WaitPurpose.GENERATION) for pool in sides if pool.beside
    )
    return Exchange(
        counts={s.name: 0 if s.name in released else _desired(s) for s in states},
        totals={pool.target.name: pool.desired for pool in sides},
        later=frozenset(s.name for s in states if s.service is None),
        waits=waits,
    )


def advance(
    observed: ObservedGraph,
    sides: Sequence[PoolSides],
    ready_since: Mapping[str, float],
    monotonic: float,
    level: int | None = None,
) -> Exchange:
    """Return the next step of the exchange. ``level`` limits the new side, for a canary."""
    serving = serving_generations(sides)
    pools = [_pool(observed, pool, serving, ready_since, monotonic) for pool in sides]
    free = free_capacity(observed.snapshot)
    by_name = {pool.target.name: pool for pool in sides}

    def fits(more: Mapping[str, int]) -> bool:
        left: FreeCapacity | None = free
        for pool in pools:
            own = by_name[pool.name]
            number = more[pool.name] + _unplaced(own.target)
            total = pool.started + more[pool.name] + pool.old + pool.ending
            if more[pool.name] and total > _maximum(own):
                return False
            left = surge_left(own.target, number, left) if left is not None else None
        return left is not None

    levels = levels_of(pools)
    room = room_in_proportion(pools, fits, levels if level is None else min(level, levels))
    steps = next_step(pools, room, baking=level is not None)
    counts: dict[str, int] = {}
    for pool in sides:
        step = steps[pool.target.name]
        counts[pool.target.name] = step.new
        counts |= _split(pool, step.old, serving)
    counts |= _as_sets(sides, steps, counts, serving)
    return Exchange(
        counts=counts,
        totals={pool.target.name: pool.desired for pool in sides},
        later=frozenset(
            pool.target.name
            for pool in sides
            if pool.target.service is None and counts[pool.target.name] == 0 and pool.desired > 0
        ),
        waits=tuple(_waits(sides, steps)),
        stuck={name: step.wait for name, step in steps.items() if step.is_stuck},
    )


def serving_generations(sides: Sequence[PoolSides]) -> frozenset[str | None]:
    """Return the other generations that serve, or did: the rest is released at once.

    One that never was complete holds no requests.
    """
    by_generation: dict[str | None, list[ComponentState]] = {}
    for state in (s for pool in sides for s in pool.beside):
        by_generation.setdefault(state.component.generation, []).append(state)
    pools = sum(pool.desired > 0 for pool in sides)
    return frozenset(
        generation
        for generation, states in by_generation.items()
        if all(good_number(s.service) is not None for s in states)
        or (len(states) >= pools and all(s.observed.readiness.may_serve for s in states))
    )


def _pool(
    observed: ObservedGraph,
    pool: PoolSides,
    serving: frozenset[str | None],
    ready_since: Mapping[str, float],
    monotonic: float,
) -> Pool:
    target, component = pool.target, pool.target.component
    ready = target.observed.ready(target.observed.tasks)
    settled = [
        t
        for t in ready
        if monotonic - ready_since.get(t.arn, monotonic)
        >= target.observed.lease_seconds(observed.graph, t)
    ]
    old = [s for s in pool.beside if s.component.generation in serving]
    percent = component.limits.minimum_healthy_percent
    return Pool(
        name=target.name,
        is_prefill=pool.is_prefill,
        desired=pool.desired,
        minimum=math.ceil(pool.desired * percent / 100),
        started=_desired(target),
        ready=len(ready),
        settled=len(settled),
        old=sum(map(_desired, old)),
        ending=sum(_ending(s) for s in (target, *old))
        + sum(_using_capacity(s) for s in pool.beside if s not in old),
    )


def _ending(state: ComponentState) -> int:
    """Return the tasks of a service that still run beyond its desired count."""
    finishing = state.observed.snapshot.finishing
    if state.service is None:
        return finishing
    running = sum(t.desired_status == "RUNNING" for t in state.observed.tasks)
    return max(0, running - _desired(state)) + finishing


def _using_capacity(state: ComponentState) -> int:
    """Return the tasks of a service that is released at once: all of them are ending."""
    return _ending(state) + _desired(state)


def _unplaced(state: ComponentState) -> int:
    """Return the replicas that are started and use no capacity yet."""
    placed = sum(
        t.desired_status == "RUNNING" and not t.awaits_capacity for t in state.observed.tasks
    )
    return max(0, _desired(state) - placed)


def _maximum(pool: PoolSides) -> int:
    """Return how many replicas of both sides may run at once, according to the declaration."""
    return max(pool.desired * pool.target.component.limits.maximum_percent // 100, pool.desired)


def _split(pool: PoolSides, old: int, serving: frozenset[str | None]) -> dict[str, int]:
    """Return the counts of the other generations, the best one first; it alone may grow."""
    counts: dict[str, int] = {}
    left = old
    for state in pool.beside:
        keeps = min(_desired(state), left) if state.component.generation in serving else 0
        counts[state.name] = keeps
        left -= keeps
    best = next((s for s in pool.beside if s.component.generation in serving), None)
    if best is not None and left > 0:
        counts[best.name] += left
    return counts


def _as_sets(
    sides: Sequence[PoolSides],
    steps: Mapping[str, PoolStep],
    counts: Mapping[str, int],
    serving: frozenset[str | None],
) -> dict[str, int]:
    """Return what changes in ``counts`` so that each other generation serves, or ends as one.

    Where several of them run, one that keeps replicas of a pool needs one of every other pool. One
    that ends does so as the last one does: prefill before decode.
    """
    best = {
        next((s.name for s in pool.beside if s.component.generation in serving), None)
        for pool in sides
    }
    by_generation: dict[str | None, list[tuple[PoolSides, ComponentState]]] = {}
    for pool in sides:
        for state in pool.beside:
            if state.component.generation in serving and state.name not in best:
                by_generation.setdefault(state.component.generation, []).append((pool, state))
    changes: dict[str, int] = {}
    for members in by_generation.values():
        has = {s.name: _desired(s) for _, s in members}
        keeps = any(counts[name] > 0 for name in has)
        if keeps and all(steps[pool.target.name].old > 0 for pool, _ in members):
            changes |= {name: max(counts[name], min(number, 1)) for name, number in has.items()}
        elif not keeps and any(p.is_prefill and (has[s.name] or _ending(s)) for p, s in members):
            changes |= {s.name: min(has[s.name], 1) for p, s in members if not p.is_prefill}
    return changes


def _waits(sides: Sequence[PoolSides], steps: Mapping[str, PoolStep]) -> Iterable[Wait]:
    others = any(step.wait for step in steps.values())
    other = "its other workers follow" if others else "the workers of the other generation end"
    for pool in sides:
        step, name = steps[pool.target.name], pool.target.name
        generation = pool.target.component.generation or "without a generation"
        reason = step.wait or other
        yield Wait(name, f"generation {generation}: {reason}", WaitPurpose.GENERATION)
