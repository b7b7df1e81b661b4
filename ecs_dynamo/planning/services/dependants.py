"""Frontends, workers and planners: created, rolled and scaled on the endpoints of now."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.planning.desired.component import Wanted
from ecs_dynamo.planning.desired.context import Scene
from ecs_dynamo.planning.desired.plan_builder import Draft
from ecs_dynamo.planning.observed.endpoints import (
    endpoints_complete,
    injected_endpoints,
)
from ecs_dynamo.planning.observed.reachability import infrastructure_probes
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.rollout import (
    deployments,
    handover,
)
from ecs_dynamo.planning.rollout import (
    order as rollout,
)
from ecs_dynamo.planning.rollout.canary import canary
from ecs_dynamo.planning.rollout.deployment_limits import (
    limits_now,
    without_old_side,
)
from ecs_dynamo.planning.services.infrastructure import (
    hold_back,
    leave,
)
from ecs_dynamo.planning.services.service_actions import (
    create_service,
    update_service,
)

DETAILS = 3
"""How many failed probes a wait quotes."""


def plan_dependants(draft: Draft, scene: Scene) -> tuple[str, ...]:
    """Create, roll and scale what depends on the endpoints; returns what has stale endpoints."""
    graph, snapshot, endpoints = scene.graph, scene.snapshot, scene.endpoints
    dependants = scene.dependants
    complete = endpoints_complete(graph, endpoints)
    if not complete:
        _wait_for_endpoints(draft, scene)
    moved = rollout.moved(injected_endpoints(graph, snapshot), endpoints, dependants)
    # An infrastructure service that rolls will move the endpoints next: a dependant that rolled
    # now would roll twice.
    unsettled = [
        w.component.name
        for w in scene.infrastructure
        # A cluster of etcd serves without one of its members.
        if w.component.member is None
        and (
            w.rolls
            or (
                w.service is not None and not ready_tasks(graph, w.component, snapshot, w.new_tasks)
            )
        )
    ]
    allowed: frozenset[str] = frozenset()
    first: str | None = None
    if complete and not unsettled:
        if moved:
            allowed = frozenset(w.component.name for w in dependants if w.rolls)
        elif not scene.doubts.all:  # Else the order is not known.
            candidates = [w for w in dependants if w.component.name not in scene.failures]
            allowed, first = rollout.next_in_order(graph, candidates, snapshot)
            if scene.failures:
                allowed, first = frozenset(), None
            allowed |= _in_the_way_of_a_move(scene, candidates)
    # What missed its deadline goes back at once, whatever else is under way.
    allowed |= {w.component.name for w in dependants if w.former is not None}
    allowed -= scene.doubts.all.keys()
    for one in dependants:
        late = deployments.must_wait(one) if one.component.name in allowed else None
        if late is not None:
            allowed -= {one.component.name}
            draft.wait(one.component.name, late)
            draft.actions.extend(deployments.let_oldest_end(scene, one))
    if moved and allowed:
        rolling = [w for w in dependants if w.component.name in allowed]
        protections, notes = handover.keep_old_side(scene, rolling)
        draft.actions.extend(protections)
        draft.notes.extend(notes)
    for one in sorted(dependants, key=lambda w: (rollout.rollout_rank(w), w.component.name)):
        name = one.component.name
        if one.service is None:
            if complete and not unsettled:
                create_service(draft, graph, one, scene.placing(one))
            elif complete:
                draft.wait(name, f"waiting for {', '.join(unsettled)} to settle")
            continue
        why = one.why_it_rolls
        if moved:
            why = f"endpoints moved to {endpoints.etcd} {endpoints.nats or ''}".rstrip()
        elif one.former is not None:
            why = scene.reasons[name]
        hold_back(draft, scene, one)
        leave(draft, scene, one)
        _roll(draft, scene, one, name in allowed, bool(moved), why)
        if one.rolls and name in allowed:
            draft.wait(name, why)
        elif one.rolls and name not in scene.failures:
            unknown = f"{', '.join(sorted(scene.doubts.all))} is known" if scene.doubts.all else ""
            after = first or ", ".join(unsettled) or unknown or "the failed rollout"
            draft.wait(name, f"rolls after {after}")
    return moved


def _in_the_way_of_a_move(scene: Scene, candidates: Iterable[Wanted]) -> frozenset[str]:
    """Components whose revision for the moved endpoints does not become ready, and that have a
    newer declaration.

    The others keep their old side, and so their place in the order, until these have followed. In
    that order, these would never have their turn.
    """
    return frozenset(
        w.component.name
        for w in candidates
        if w.rolls
        and handover.relocates(w)
        and not ready_tasks(scene.graph, w.component, scene.snapshot, w.new_tasks)
    )


def _wait_for_endpoints(draft: Draft, scene: Scene) -> None:
    missing = [
        name
        for name, value, needed in (
            ("etcd", scene.endpoints.etcd, True),
            ("NATS", scene.endpoints.nats, scene.graph.has_nats),
        )
        if needed and value is None
    ]
    failed = sorted({p.detail for p in infrastructure_probes(scene.snapshot) if not p.healthy})
    why = f" ({'; '.join(failed[:DETAILS])})" if failed else ""
    for one in scene.dependants:
        if one.service is None:
            draft.wait(one.component.name, f"waiting for a ready {' and '.join(missing)}{why}")


def _roll(draft: Draft, scene: Scene, one: Wanted, may_roll: bool, moves: bool, why: str) -> None:
    """Begin a rollout, lead it on, or set what else differs."""
    graph, snapshot = scene.graph, scene.snapshot
    begins = one.rolls and may_roll
    step = None if begins or moves else canary(graph, one, snapshot, scene.now.wall)
    limits = limits_now(one, snapshot, begins=begins, moves=moves, canary=step)
    if limits.note is not None and limits.change and deployments.lost_etcd(scene, one):
        limits = without_old_side(one)
    if limits.note is not None:
        draft.notes.append(limits.note)
    leads = not moves and not handover.relocates(one)
    if leads and (begins or one.rolling):
        draft.actions.extend(
            handover.hand_over(
                scene,
                one,
                limits.force,
                begins=begins,
                baking=step is not None and step.baking,
            )
        )
    if step is not None and step.mark is not None:
        draft.actions.append(step.mark)
    if step is not None and step.told:
        draft.wait(one.component.name, step.told)
    force = limits.force if limits.change else None
    update_service(draft, graph, one, may_roll, why, force, scene.placing(one))
