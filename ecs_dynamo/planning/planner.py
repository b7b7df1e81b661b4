"""The plan: what takes a snapshot to the declared graph, in which order, and why.

The pass is level-triggered: it looks at what is, never at what it did before, so it may be cut off
after any action and started again. Each rule that holds something back leaves a `Wait` that says
what for, in words a person can act on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import DeleteService, Endpoints, HoldService, Memory, Plan
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning import rollout
from ecs_dynamo.planning.changes import Draft, create_service, update_service
from ecs_dynamo.planning.conditions import (
    ConditionBook,
    state_conditions,
    state_endpoints,
    state_signals,
)
from ecs_dynamo.planning.drain import spare_busy
from ecs_dynamo.planning.endpoints import (
    endpoints_complete,
    injected_endpoints,
    resolve_endpoints,
)
from ecs_dynamo.planning.fingerprint import fingerprint
from ecs_dynamo.planning.held import declared_fingerprint, find_failures, hold
from ecs_dynamo.planning.ports import PortPlan, plan_ports
from ecs_dynamo.planning.readiness import count_replicas, ready_tasks
from ecs_dynamo.planning.render import render
from ecs_dynamo.planning.scaling.decide import decide_counts
from ecs_dynamo.planning.wanted import Wanted, obstacle, overdue


def _wanted(
    graph: Graph,
    component: Component,
    snapshot: Snapshot,
    endpoints: Endpoints,
    ports: PortPlan,
    desired: int,
    now: float,
) -> Wanted:
    ready = component.is_infrastructure or endpoints_complete(graph, endpoints)
    port = ports.system_ports.get(component.name, graph.runtime.system_port)
    content = render(graph, component, endpoints, port) if ready else None
    made = Wanted(
        component=component,
        seen=snapshot.components[component.name],
        content=content,
        fingerprint=fingerprint(content) if content is not None else None,
        desired=desired,
        declared=declared_fingerprint(graph, component, port),
    )
    return replace(made, former=overdue(made, now))


def _progress(draft: Draft, graph: Graph, wanted: Wanted, snapshot: Snapshot) -> None:
    """What a component that exists still waits for."""
    service, name = wanted.service, wanted.component.name
    if service is None:
        return
    if wanted.rolling:
        primary = next((d for d in service.deployments if d.status == "PRIMARY"), None)
        running = primary.running if primary else service.running
        draft.wait(
            name, f"ECS is rolling it out: {running} of {service.desired} of the new revision run"
        )
        return
    ready = len(ready_tasks(graph, wanted.component, snapshot))
    if ready < wanted.desired:
        what = (
            "registration in Dynamo's discovery" if wanted.component.is_worker else "health checks"
        )
        draft.wait(name, f"{ready} of {wanted.desired} ready, waiting for {what}")


def plan(graph: Graph, snapshot: Snapshot, memory: Memory, now: float) -> Plan:
    """The actions to take now. Pure: same arguments, same plan."""
    draft = Draft()
    ports = plan_ports(graph)
    draft.notes.extend(ports.notes)
    obstacles = {
        c.name: found
        for c in graph.components
        if (found := obstacle(graph, c, snapshot)) is not None
    }
    endpoints = resolve_endpoints(graph, snapshot)
    counts, decisions, states = decide_counts(graph, snapshot, memory, now, obstacles)
    observed = [c for c in graph.components if c.name in snapshot.components]
    wanted = tuple(
        _wanted(graph, c, snapshot, endpoints, ports, counts[c.name], now) for c in observed
    )
    remembered, failures = find_failures(wanted, memory)
    wanted = tuple(hold(w, endpoints) if w.component.name in failures else w for w in wanted)
    for name, (_, message) in obstacles.items():
        draft.wait(name, message)
    for name, message in failures.items():
        draft.wait(name, message)

    free = tuple(w for w in wanted if w.component.name not in obstacles)
    infrastructure = tuple(w for w in free if w.component.is_infrastructure)
    dependants = tuple(w for w in free if not w.component.is_infrastructure)
    _plan_infrastructure(draft, graph, infrastructure, dependants, snapshot, ports, failures)
    moved = _plan_dependants(
        draft, graph, infrastructure, dependants, snapshot, ports, failures, endpoints
    )
    _release(draft, graph, infrastructure, dependants, snapshot, bool(obstacles))
    for one in free:
        if one.component.name not in failures:
            _progress(draft, graph, one, snapshot)
    _retire_orphans(draft, snapshot)

    replicas = {c.name: count_replicas(graph, c, snapshot) for c in graph.components}
    book = ConditionBook(memory.conditions, now)
    busy = bool(draft.actions)
    state_conditions(book, wanted, replicas, obstacles, failures, draft.waits, busy)
    state_endpoints(book, moved, endpoints)
    state_signals(book, decisions, snapshot.signals, now)
    conditions = book.all()
    return Plan(
        graph=graph.name,
        actions=tuple(draft.actions),
        waits=tuple(draft.waits),
        conditions=conditions,
        endpoints=endpoints,
        decisions=tuple(decisions),
        replicas=replicas,
        notes=tuple(draft.notes),
        memory=replace(memory, scaling=states, failed=remembered, conditions=conditions),
        failures=failures,
        stuck=bool(failures) and not busy and not any(w.rolling for w in free),
    )


def _plan_infrastructure(
    draft: Draft,
    graph: Graph,
    infrastructure: tuple[Wanted, ...],
    dependants: tuple[Wanted, ...],
    snapshot: Snapshot,
    ports: PortPlan,
    failures: Mapping[str, str],
) -> None:
    """etcd and NATS first. Before one rolls, its tasks are kept for those that use them."""
    for one in infrastructure:
        name = one.component.name
        if one.service is None:
            create_service(draft, graph, one, ports)
            continue
        may_roll = name not in failures or one.former is not None
        _hold_back(draft, one)
        if one.rolls and may_roll and any(d.service is not None for d in dependants):
            protections, _ = rollout.keep_old_side([one], snapshot)
            draft.actions.extend(protections)
        update_service(draft, graph, one, snapshot, may_roll, "task definition changed")


def _plan_dependants(
    draft: Draft,
    graph: Graph,
    infrastructure: tuple[Wanted, ...],
    dependants: tuple[Wanted, ...],
    snapshot: Snapshot,
    ports: PortPlan,
    failures: Mapping[str, str],
    endpoints: Endpoints,
) -> tuple[str, ...]:
    """Create, roll and scale what depends on the endpoints; returns what has stale endpoints."""
    complete = endpoints_complete(graph, endpoints)
    if not complete:
        missing = [
            name
            for name, value, needed in (
                ("etcd", endpoints.etcd, True),
                ("NATS", endpoints.nats, graph.has_nats),
            )
            if needed and value is None
        ]
        for one in dependants:
            if one.service is None:
                draft.wait(one.component.name, f"waiting for a ready {' and '.join(missing)}")
    moved = rollout.moved(injected_endpoints(graph, snapshot), endpoints, dependants)
    # An infrastructure service that rolls will move the endpoints next: a dependant that rolled
    # now would roll twice.
    unsettled = [
        w.component.name
        for w in infrastructure
        if w.rolls
        or (w.service is not None and not ready_tasks(graph, w.component, snapshot, w.new_tasks))
    ]
    allowed: frozenset[str] = frozenset()
    first: str | None = None
    if complete and not unsettled:
        if moved:
            allowed = frozenset(w.component.name for w in dependants if w.rolls)
        else:
            candidates = [w for w in dependants if w.component.name not in failures]
            allowed, first = rollout.next_in_order(graph, candidates, snapshot)
            if failures:
                allowed, first = frozenset(), None
    # What missed its deadline goes back at once, whatever else is under way.
    allowed |= {w.component.name for w in dependants if w.former is not None}
    if moved and allowed:
        rolling = [w for w in dependants if w.component.name in allowed]
        protections, notes = rollout.keep_old_side(rolling, snapshot)
        draft.actions.extend(protections)
        draft.notes.extend(notes)
    for one in sorted(dependants, key=lambda w: (rollout.rollout_rank(w), w.component.name)):
        name = one.component.name
        if one.service is None:
            if complete and not unsettled:
                create_service(draft, graph, one, ports)
            elif complete:
                draft.wait(name, f"waiting for {', '.join(unsettled)} to settle")
            continue
        why = (
            f"endpoints moved to {endpoints.etcd} {endpoints.nats or ''}".rstrip()
            if moved
            else "task definition changed"
        )
        _hold_back(draft, one)
        draft.actions.extend(spare_busy(graph, one, snapshot))
        update_service(draft, graph, one, snapshot, name in allowed, why)
        if one.rolls and name in allowed:
            draft.wait(name, why)
        elif one.rolls and name not in failures:
            draft.wait(name, f"rolls after {first or ', '.join(unsettled) or 'the failed rollout'}")
    return moved


def _hold_back(draft: Draft, one: Wanted) -> None:
    """Before a rollout that missed its deadline is taken back: so that nobody rolls it again."""
    if one.former is not None and one.service is not None:
        draft.actions.append(
            HoldService(
                component=one.component.name,
                reason="its rollout missed the progress deadline",
                cluster=one.component.cluster,
                service=one.component.service,
                declared=one.declared,
            )
        )


def _release(
    draft: Draft,
    graph: Graph,
    infrastructure: tuple[Wanted, ...],
    dependants: tuple[Wanted, ...],
    snapshot: Snapshot,
    blocked: bool,
) -> None:
    """Let the old side go once the new one is up and routed."""
    if blocked or not rollout.new_side_ready(graph, dependants, snapshot):
        return
    draft.actions.extend(
        rollout.release_old_side(
            [*dependants, *infrastructure], snapshot, "the new revision is ready and routed"
        )
    )


def _retire_orphans(draft: Draft, snapshot: Snapshot) -> None:
    """Delete what carries the graph's tag but is declared no more, when all else is done."""
    if isinstance(snapshot.orphans, Unknown):
        draft.wait("", f"services to retire could not be observed: {snapshot.orphans.reason}")
        return
    settled = not draft.actions and not draft.waits
    for service in snapshot.orphans:
        if not service.owned_by(snapshot.graph) or service.status == "INACTIVE":
            continue
        if settled and service.status == "ACTIVE":
            draft.actions.append(
                DeleteService(
                    component=service.name,
                    reason="no longer declared in the graph",
                    cluster=service.cluster,
                    service=service.name,
                )
            )
        draft.wait(service.name, "is no longer declared; waiting for it to be retired")
