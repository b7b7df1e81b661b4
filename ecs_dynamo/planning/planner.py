"""The plan: what takes a snapshot to the declared graph, in which order, and why.

The pass is level-triggered: it looks at what is, never at what it did before, so it may be cut off
after any action and started again. Each rule that holds something back leaves a `Wait` that says
what for, in words a person can act on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.containers import containers_note
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.model.plan import DeleteService, Endpoints, Memory, Plan
from ecs_dynamo.model.snapshot import RECENT_SECONDS, ComponentSnapshot, Snapshot, Unknown
from ecs_dynamo.planning.capacity.plan import plan_capacity
from ecs_dynamo.planning.conditions import (
    ConditionBook,
    state_access,
    state_conditions,
    state_endpoints,
    state_routing,
    state_signals,
)
from ecs_dynamo.planning.desired.canonical import means_the_same
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.declaration import declared_fingerprint
from ecs_dynamo.planning.desired.etcd_member import as_member
from ecs_dynamo.planning.desired.fingerprint import fingerprint
from ecs_dynamo.planning.desired.obstacles import obstacle
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.desired.port_turns import (
    render_in_turn,
    take_turn,
)
from ecs_dynamo.planning.desired.ports import (
    PortPlan,
    plan_ports,
)
from ecs_dynamo.planning.desired.rendering import anonymous
from ecs_dynamo.planning.healing.health import assess_health
from ecs_dynamo.planning.healing.replacement import heal
from ecs_dynamo.planning.healing.serving import assess_serving
from ecs_dynamo.planning.observed.certainty import find_doubts
from ecs_dynamo.planning.observed.endpoints import (
    endpoints_complete,
    resolve_endpoints,
)
from ecs_dynamo.planning.observed.etcd_membership import (
    Membership,
    membership,
)
from ecs_dynamo.planning.observed.lookup import known_service
from ecs_dynamo.planning.observed.reachability import unreachable
from ecs_dynamo.planning.observed.readiness import (
    count_replicas,
    ready_tasks,
    why_not_ready,
)
from ecs_dynamo.planning.observed.routing import (
    routing,
    unattributed,
    with_routing,
)
from ecs_dynamo.planning.observed.stopped_tasks import last_failure
from ecs_dynamo.planning.rollout import handover
from ecs_dynamo.planning.rollout.deployment_limits import widening_note
from ecs_dynamo.planning.rollout.deployments import within_both_sides
from ecs_dynamo.planning.rollout.draining_instances import drain_noticed
from ecs_dynamo.planning.rollout.hold import (
    find_failures,
    hold,
)
from ecs_dynamo.planning.rollout.progress_deadline import (
    failures,
    mark_good,
    on_probation,
    probation_left,
    with_rollout_failure,
)
from ecs_dynamo.planning.rollout.protection import without_unknown_work
from ecs_dynamo.planning.scaling.decide import decide_counts
from ecs_dynamo.planning.services.dependants import plan_dependants
from ecs_dynamo.planning.services.etcd_members import plan_members
from ecs_dynamo.planning.services.infrastructure import plan_infrastructure
from ecs_dynamo.planning.services.retention import retire_revisions
from ecs_dynamo.planning.services.service_actions import register_again
from ecs_dynamo.planning.services.withheld_releases import without_releases


def _wanted(
    graph: Graph,
    component: Component,
    snapshot: Snapshot,
    endpoints: Endpoints,
    cluster: Membership,
    ports: PortPlan,
    desired: int,
    now: float,
) -> ComponentState:
    ready = component.is_infrastructure or endpoints_complete(graph, endpoints)
    ready = ready and component.member is None
    port = ports.system_ports.get(component.name, graph.runtime.system_port)
    seen = snapshot.components[component.name]
    made = ComponentState(
        component=component,
        observed=seen,
        content=None,
        fingerprint=None,
        desired=desired,
        declared=declared_fingerprint(graph, component, port),
        one_per_instance=component.name in ports.distinct_instances,
    )
    if ready:
        content = render_in_turn(graph, made, endpoints, ports, snapshot)
        made = replace(made, content=content, fingerprint=_fingerprint(content, seen))
    if component.member is not None:
        made = as_member(graph, cluster, made)
    return with_rollout_failure(graph, made, snapshot, endpoints, now)


def _fingerprint(content: JsonObject, seen: ComponentSnapshot) -> str:
    """The fingerprint of ``content``, or that of the running revision where both mean the same.

    What is only written differently (``.25 vCPU`` instead of ``256``) must not roll anything.
    """
    made, service = fingerprint(content), known_service(seen)
    current = seen.revisions.get(service.task_definition_arn) if service is not None else None
    if (
        current is not None
        and current.fingerprint not in (None, made)
        and means_the_same(anonymous(current.content), anonymous(content))
    ):
        return current.fingerprint or made
    return made


def _progress(draft: PlanBuilder, graph: Graph, state: ComponentState, snapshot: Snapshot) -> None:
    """What a component that exists still waits for."""
    service, name = state.service, state.component.name
    if service is None:
        return
    ready = len(ready_tasks(graph, state.component, snapshot, state.new_tasks))
    began = (state.primary.created_at if state.primary else None) or 0.0
    since = max(began, snapshot.observed_at - RECENT_SECONDS)
    failed = last_failure(failures(state, since))
    why = f"; its last task that failed: {failed}" if failed else ""
    if state.rollout_in_progress:
        running = state.primary.running if state.primary else service.running
        text = f"ECS is rolling it out: {running} of {service.desired} of the new revision run"
        draft.wait(name, f"{text}, {ready} ready{why}" if ready != running else f"{text}{why}")
        return
    if ready < state.desired:
        what = (
            "registration in Dynamo's discovery" if state.component.is_worker else "health checks"
        )
        seen = why_not_ready(graph, state.component, snapshot)
        seen = f" ({seen})" if seen else ""
        draft.wait(name, f"{ready} of {state.desired} ready, waiting for {what}{seen}{why}")


def _held(
    state: ComponentState, endpoints: Endpoints, ports: PortPlan, snapshot: Snapshot
) -> ComponentState:
    """``one`` held back, at a system port at which it can start beside what runs."""
    held = hold(state, endpoints)
    content = take_turn(held, ports, snapshot)
    if content is None or content is held.content:
        return held
    return replace(held, content=content, fingerprint=fingerprint(content))


def _ready_since(
    graph: Graph, wanted: Iterable[ComponentState], snapshot: Snapshot, memory: Memory, now: float
) -> Mapping[str, float]:
    """Since when each ready task has been so. It begins with proof, and does not end while what
    was proven can just not be seen."""
    found: dict[str, float] = {}
    for one in wanted:
        proven = {t.arn for t in ready_tasks(graph, one.component, snapshot, proven=True)}
        for task in ready_tasks(graph, one.component, snapshot):
            if task.arn in proven or task.arn in memory.ready_since:
                found[task.arn] = memory.ready_since.get(task.arn, now)
    return found


def _probation(draft: PlanBuilder, context: PlanContext, state: ComponentState) -> None:
    """Mark a revision good that has stayed ready for long enough, or tell how long it has to."""
    left = probation_left(
        context.graph, state, context.snapshot, context.ready_since, context.now.monotonic
    )
    note = mark_good(state) if left <= 0 else None
    if note is not None:
        draft.actions.append(note)
    elif left == math.inf:
        draft.wait(state.component.name, "ready, but not all replicas answered in this pass")
    else:
        draft.wait(state.component.name, f"ready; it counts as good after {left:.0f} s more")


def plan(graph: Graph, snapshot: Snapshot, memory: Memory, now: Now) -> Plan:
    """The actions to take now. Pure: same arguments, same plan."""
    draft = PlanBuilder()
    ports = plan_ports(graph)
    draft.notes.extend(ports.notes)
    draft.notes.extend(filter(None, map(containers_note, graph.components)))
    obstacles = {
        c.name: found
        for c in graph.components
        if (found := obstacle(graph, c, snapshot)) is not None
    }
    doubts = find_doubts(graph, snapshot, obstacles)
    for name in sorted(doubts.all.keys() - obstacles.keys()):
        draft.wait(name, f"{doubts.all[name]}; until it is known nothing is replaced or released")
    endpoints, cluster = resolve_endpoints(graph, snapshot), membership(graph, snapshot)
    counts, decisions, states = decide_counts(graph, snapshot, memory, now, obstacles)
    observed = [c for c in graph.components if c.name in snapshot.components]
    wanted = tuple(
        _wanted(graph, c, snapshot, endpoints, cluster, ports, counts[c.name], now.wall)
        for c in observed
    )
    given_up = find_failures(wanted, memory)
    wanted = tuple(
        _held(w, endpoints, ports, snapshot) if w.component.name in given_up.told else w
        for w in wanted
    )
    fitted = [within_both_sides(w, snapshot) for w in wanted]
    kept = [without_unknown_work(graph, w, snapshot) for w, _ in fitted]
    wanted = tuple(w for w, _ in kept)
    for name, (_, message) in obstacles.items():
        draft.wait(name, message)
    for one, why in (*fitted, *kept):
        if why is not None and one.component.name not in obstacles:
            draft.wait(one.component.name, why)
    for name, message in given_up.told.items():
        draft.wait(name, message)

    free = tuple(w for w in wanted if w.component.name not in obstacles)
    ready_since = _ready_since(graph, free, snapshot, memory, now.monotonic)
    context = PlanContext(
        graph=graph,
        snapshot=snapshot,
        endpoints=endpoints,
        ports=ports,
        now=now,
        infrastructure=tuple(w for w in free if w.component.is_infrastructure),
        dependants=tuple(w for w in free if not w.component.is_infrastructure),
        failures=given_up.told,
        reasons=given_up.reasons,
        ready_since=ready_since,
        doubts=doubts,
    )
    draft.notes.extend(filter(None, map(widening_note, free)))
    draft.actions.extend(drain_noticed(free, snapshot))
    plan_infrastructure(draft, context)
    if cluster.slots:
        plan_members(draft, cluster, context.dependants)
    moved = plan_dependants(draft, context)
    if not obstacles and not doubts.all:
        _tend_moves(draft, context, moved)
    health = assess_health(graph, free, snapshot, endpoints, memory, now, doubts.all)
    healing = heal(context, health, memory, moved, {a.component for a in draft.actions})
    draft.actions.extend(healing.stops)
    for name, text in healing.waits.items():
        draft.wait(name, text)
    nobody, remembered = assess_serving(
        graph, wanted, snapshot, health, now.monotonic, doubts.unseen
    )
    explained = given_up.told.keys() | doubts.all.keys() | healing.waits.keys()
    for one in free:
        if one.component.name not in explained:
            _progress(draft, graph, one, snapshot)
        register_again(draft, graph, one)
        if on_probation(graph, one, snapshot):
            _probation(draft, context, one)
    draft.actions = without_releases(draft.actions, graph, snapshot, doubts.all)
    cut_off = unreachable(snapshot)
    if cut_off is not None:
        draft.wait("", cut_off)
    _retire_orphans(draft, snapshot)
    if not draft.actions and not draft.waits:
        draft.actions.extend(retire_revisions(wanted))

    capacity = plan_capacity(graph, snapshot, free, memory.capacity, now.monotonic)
    draft.notes.extend(capacity.notes)
    settled = frozenset(
        arn
        for arn, since in ready_since.items()
        if now.monotonic - since >= graph.runtime.lease_seconds
    )
    routes = {c.name: routing(graph, c, snapshot, settled) for c in graph.components}
    replicas = {
        c.name: with_routing(count_replicas(graph, c, snapshot), routes[c.name])
        for c in graph.components
    }
    book = ConditionBook(memory.conditions, now.wall)
    busy = bool(draft.actions)
    state_conditions(
        book,
        wanted,
        replicas,
        obstacles,
        given_up,
        draft.waits,
        busy,
        capacity.shortages,
        memory.rejected,
        doubts.all,
        health.problems,
    )
    state_endpoints(book, moved, endpoints)
    state_access(book, snapshot, nobody)
    state_routing(book, routes)
    state_signals(book, graph.components, decisions, snapshot.signals, now.monotonic)
    conditions = book.all()
    return Plan(
        graph=graph.name,
        actions=(*draft.actions, *capacity.actions),
        waits=(*draft.waits, *capacity.waits),
        conditions=conditions,
        endpoints=endpoints,
        decisions=tuple(decisions),
        replicas=replicas,
        notes=tuple(draft.notes),
        memory=replace(
            memory,
            scaling=states,
            failed=given_up.remembered,
            causes=given_up.causes,
            conditions=conditions,
            ready_since=ready_since,
            capacity=capacity.memory,
            health=replace(remembered, stops=healing.memory.stops),
        ),
        failures=given_up.told,
        stuck=not busy
        and (
            cut_off is not None
            or (bool(given_up.told) and not any(w.rollout_in_progress for w in free))
        ),
        shortages=tuple(capacity.shortages.values()),
        unattributed=unattributed(graph, snapshot),
        unknown=doubts.all,
        lost={name: problem.lost for name, problem in health.problems.items()},
        serves_nobody=nobody is not None,
    )


def _tend_moves(draft: PlanBuilder, context: PlanContext, moved: tuple[str, ...]) -> None:
    """Endpoints that move: keep the old side until the new one is up and routed, then let it go."""
    over = handover.new_side_ready(context, moved)
    asked = {a.component for a in draft.actions}
    sides = [
        w
        for w in (*context.dependants, *context.infrastructure)
        if w.component.is_infrastructure or handover.relocates(w)
    ]
    tended = handover.tend_old_side(context, sides, over=over)
    draft.actions.extend(a for a in tended if a.component not in asked)


def _retire_orphans(draft: PlanBuilder, snapshot: Snapshot) -> None:
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
