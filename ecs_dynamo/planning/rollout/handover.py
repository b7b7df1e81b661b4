"""How the old side of a rollout hands over to the new one: which old tasks are kept, until when.

ECS takes a task for healthy that merely runs, and stops an old one for it. What serves is known
here alone, so old tasks are protected for as long as new ones are not *ready*: one is let go for
each new one that has stayed ready for one discovery lease, idle ones first, and one that still
works gets the drain time. `protection` tells for how long, and keeps the record of who drains.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence

from ecs_dynamo.model.graph import TAG_CANARY
from ecs_dynamo.model.plan import ProtectTasks, TagService
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.capacity.surge import (
    free_rooms,
    surge_left,
    why_no_surge,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.observed.endpoints import (
    endpoint_hosts,
    endpoints_in,
    injected_endpoints,
    share_endpoints,
)
from ecs_dynamo.planning.observed.failure_reasons import lacks_place
from ecs_dynamo.planning.observed.readiness import (
    known_to_serve,
    lease_seconds,
    may_serve,
    ready_tasks,
)
from ecs_dynamo.planning.rollout.drain_record import (
    drain_record,
    draining_since,
    first_below,
    keep_minutes,
    renew_below,
    rollout_seconds,
    whole_minutes,
)
from ecs_dynamo.planning.rollout.draining_instances import tasks_on_draining_instances
from ecs_dynamo.planning.rollout.lost_etcd import without_etcd
from ecs_dynamo.planning.rollout.protection import (
    acceptable,
    busy_tasks,
    drain_minutes,
    is_protected,
    minutes_left,
    protect,
    protectable,
)

FOUND_SECONDS = 5.0
"""What clients and load balancers need to find a new frontend before an old one goes."""
RENEW_SLACK_SECONDS = 60.0
"""A protection that ends this much before its rollout's deadline is left as it is: ECS counts in
whole minutes."""


def _running(state: ComponentState) -> list[Task]:
    return [t for t in (*state.new_tasks, *state.old_tasks) if t.is_running]


def hand_over(
    context: PlanContext,
    state: ComponentState,
    limits: DeploymentLimits,
    *,
    begins: bool,
    baking: bool = False,
) -> list[ProtectTasks | TagService]:
    """Protections to set and lift before (``begins``) and while a component rolls.

    ``limits`` are those in force then; with ``baking`` the new replicas do not count yet.
    """
    graph, snapshot = context.graph, context.snapshot
    going = tasks_on_draining_instances(state, snapshot)  # They go for another reason, and at once.
    side = _running(state) if begins else list(state.old_tasks)
    old = [t for t in side if t not in going]
    if not old:
        return []
    now, drain = snapshot.observed_at, graph.runtime.drain_seconds
    serving = {t.arn for t in may_serve(graph, state.component, snapshot, old)}
    ready = {t.arn for t in ready_tasks(graph, state.component, snapshot, old)}
    busy = busy_tasks(graph, state, snapshot) or frozenset()
    fresh = 0 if begins or baking else len(fresh_tasks(context, state))
    floor = math.ceil(state.desired * limits.minimum_healthy_percent / 100)
    count = max(0, min(floor - fresh, len(serving)))
    if state.service is not None:
        # ECS protects no more than should run now; what a rising count adds is kept once it rose.
        count = min(count, state.service.desired)
    since = {} if begins else draining_since(state)
    # Those that serve before those that do not, then busy ones, then those not let go before.
    ranked = sorted(
        old,
        key=lambda t: (
            t.arn not in ready,
            t.arn not in serving,
            t.arn not in busy,
            t.arn in since,
            t.arn,
        ),
    )
    needed, spare = ranked[:count], ranked[count:]
    working = [t for t in spare if t.arn in busy and drain > 0]
    late = [t for t in working if t.arn in since and now - since[t.arn] >= drain]
    free = [t for t in spare if is_protected(t, now) and (t not in working or t in late)]
    urgent = _ending(needed, renew_below(graph, state.component), now)
    anew = sum(not is_protected(t, now) for t in urgent)
    most = protectable(state, now, {t.arn for t in free})
    lacking = anew - most if urgent else 0
    gone = _making_room(state, [t for t in working if t not in late], lacking, now)
    free, most = [*free, *gone], most + len(gone)
    working = [t for t in working if t not in gone]
    made: list[ProtectTasks | TagService] = []
    if free:
        cut = sum(t in late or t in gone for t in free)
        why = f"{cut} of them still work, and may do so no longer" if cut else "idle"
        made.append(protect(state, free, None, f"{len(free)} are replaced, {why}"))
    keep = keep_minutes(graph, state.component)
    kept = acceptable(urgent, most, now)
    if begins:
        # What is needed is asked for in any case: where ECS refuses it, nothing must roll.
        longer = [t for t in (*needed, *working) if t not in urgent]
        longer = _ending(longer, first_below(graph, state.component), now)
        kept = [*urgent, *acceptable(longer, most - anew, now)]
    if kept:
        why = f"keep {len(kept)} serving until the new revision is ready"
        made.append(protect(state, kept, keep, why))
    if begins:
        return made
    starting = [t for t in working if t.arn not in since and is_protected(t, now)]
    stays = {arn: at for arn, at in since.items() if arn not in {t.arn for t in needed}}
    mark, recorded = drain_record(state, stays, starting, math.ceil(now))
    ending = _ending([t for t in starting if t.arn in recorded], drain / 60.0, now)
    if longer := acceptable(ending, most, now):
        why = f"{len(longer)} still work: they may finish within the drain time"
        made.append(protect(state, longer, drain_minutes(graph), why))
    if mark is not None:
        made.append(mark)
    return made


def _making_room(
    state: ComponentState, working: Sequence[Task], lacking: int, now: float
) -> list[Task]:
    """Protected tasks that are needed no more and still work, ``lacking`` of them, that go for the
    sake of those that are needed: ECS takes no more protections. Who drains for longest goes first.
    """
    since = draining_since(state)
    held = [t for t in working if is_protected(t, now)]
    return sorted(held, key=lambda t: (since.get(t.arn, now), t.arn))[: max(0, lacking)]


def _ending(tasks: Sequence[Task], minutes: float, now: float) -> list[Task]:
    """Those with less than ``minutes`` of protection left."""
    return [t for t in tasks if minutes_left(t, now) < minutes]


def keep_old_side(
    context: PlanContext, rolling: Sequence[ComponentState]
) -> tuple[list[ProtectTasks], list[str]]:
    """Before endpoints move: protect all of what runs, wherever the new side fits beside it.

    After two moves in a row more may run than ECS protects (`protectable`): then the most useful.
    """
    free, now = free_rooms(context.snapshot), context.snapshot.observed_at
    actions: list[ProtectTasks] = []
    notes: list[str] = []
    for wanted in rolling:
        running = _running(wanted)
        # Protected tasks count for ECS's upper limit: with 100 % nothing would ever start.
        cramped = wanted.component.limits.maximum_percent <= 100
        if wanted.service is None or not running or cramped:
            continue
        left = surge_left(wanted, wanted.desired, free)
        if left is None:
            notes.append(
                f"{wanted.component.name}: {wanted.desired} more replicas do not fit "
                f"({why_no_surge(wanted, free)}): the old ones cannot be kept beside the new ones"
            )
            continue
        free = left
        ranked = _most_useful_first(context, wanted, running)
        count = wanted.service.desired
        surplus = [t for t in ranked[count:] if is_protected(t, now)]
        if surplus:
            why = f"{len(surplus)} of an earlier move make room for what is in use"
            actions.append(protect(wanted, surplus, None, why))
        kept = _ending(ranked[:count], first_below(context.graph, wanted.component), now)
        if kept:
            why = f"keep {len(kept)} serving until the new revision is ready"
            minutes = keep_minutes(context.graph, wanted.component)
            actions.append(protect(wanted, kept, minutes, why))
    return actions, notes


def relocates(state: ComponentState) -> bool:
    """The rollout under way leads to other endpoints than the old tasks have."""
    current = state.current
    if current is None:
        return False
    new = endpoints_in(state.component, current)
    former = [
        endpoints_in(state.component, revision)
        for task in state.old_tasks
        if (revision := state.observed.revisions.get(task.task_definition_arn)) is not None
    ]
    return any(
        not (share_endpoints(old.etcd, new.etcd) and share_endpoints(old.nats, new.nats))
        for old in former
    )


def stay_seconds(context: PlanContext, state: ComponentState, task: Task) -> float:
    """How long a new replica must stay ready before an old one goes for it.

    Workers and frontends: one discovery lease, so that nothing a former process has left behind
    counts any more, and a replica that exits soon after its start is no replacement. Clients and
    load balancers need some time too to find a frontend.
    """
    component = state.component
    lease = lease_seconds(context.graph, component, state.observed, task)
    if component.is_frontend:
        return max(FOUND_SECONDS, lease)
    return lease if component.is_worker else 0.0


def _proven(context: PlanContext, state: ComponentState) -> tuple[tuple[Task, float], ...]:
    """Tasks of the new side that are proven ready now, and for how many seconds."""
    ready = ready_tasks(
        context.graph, state.component, context.snapshot, state.new_tasks, proven=True
    )
    now = context.now.monotonic
    return tuple((t, now - context.ready_since.get(t.arn, now)) for t in ready)


def fresh_tasks(context: PlanContext, state: ComponentState) -> tuple[Task, ...]:
    """Tasks of the new side that are proven ready now and have stayed so for long enough."""
    proven = _proven(context, state)
    return tuple(t for t, held in proven if held >= stay_seconds(context, state, t))


def _old_side_ends(context: PlanContext) -> bool:
    """Whether everything left of the old side has lost its etcd, and so will exit within a lease.

    Its frontends keep listing the model after the last worker is gone, and then answer with errors.
    """
    left = [(w, t) for w in context.dependants for t in w.old_tasks if t.is_running]
    return bool(left) and all(without_etcd(context, w, [t]) for w, t in left)


def _gives_way(context: PlanContext, state: ComponentState) -> bool:
    """Whether an old side that is ending may be released: one new replica has stayed ready, or all
    of them are ready and clients have had time to find them."""
    if fresh_tasks(context, state):
        return True
    found = FOUND_SECONDS if state.component.is_frontend else 0.0
    return sum(held >= found for _, held in _proven(context, state)) >= state.desired


def new_side_ready(context: PlanContext, moved: Collection[str]) -> bool:
    """Each component that should run has enough ready replicas with the endpoints of now.

    ``moved`` are the dependants that have yet to be set to them. One that rolls for another reason
    is not waited for: it may be waiting itself for a rollout that this ends. While a new replica
    of the infrastructure is not ready, dependants still use the old one; who reaches it by a name
    does not change, and finds the new one when the old one goes. An old side that is about to exit
    anyway is released as soon as the new one is complete.
    """
    ends = _old_side_ends(context)
    follow = not moved and not any(relocates(w) for w in context.dependants)
    waited = () if context.graph.names and follow else context.dependants
    return all(
        w.desired == 0
        or (
            w.service is not None
            and not (
                w.needs_rollout if w.component.is_infrastructure else w.component.name in moved
            )
            and (_is_up(context, w) or (ends and _gives_way(context, w)))
        )
        for w in (*context.infrastructure, *waited)
    )


def _floor(state: ComponentState) -> int:
    """The minimum number of replicas that must serve at any time."""
    return math.ceil(state.desired * state.component.limits.minimum_healthy_percent / 100)


def _is_up(context: PlanContext, state: ComponentState) -> bool:
    """Whether enough of its new side is ready: the minimum, or all that fit beside the old side."""
    fresh = len(fresh_tasks(context, state))
    service = state.service
    if fresh >= max(1, _floor(state)):
        return True
    if not fresh or service is None or fresh < len(state.new_tasks):
        return False
    return lacks_place(service)


def _rank(state: ComponentState) -> int:
    """Requests come in at the frontends, which need workers, and all need the infrastructure."""
    if state.component.is_infrastructure:
        return 2
    return 0 if state.component.is_frontend else 1


def in_use(context: PlanContext, state: ComponentState, among: Sequence[Task]) -> frozenset[str]:
    """ARNs of tasks that are in use: registered, or at an address that dependants have."""
    if not state.component.is_infrastructure:
        tasks = may_serve(context.graph, state.component, context.snapshot, among)
        return frozenset(t.arn for t in tasks)
    injected = injected_endpoints(context.graph, context.snapshot).values()
    hosts = frozenset[str | None]().union(*map(endpoint_hosts, injected))
    return frozenset(t.arn for t in among if t.private_ip in hosts)


def _users(context: PlanContext, tasks: Sequence[Task]) -> dict[str, tuple[int, bool]]:
    """Who uses each of the infrastructure's ``tasks``, by ARN: how many components have replicas
    that serve and were started with it, and whether frontends are among them.

    The revisions that services are set to now may name a newer task, at which no replica serves
    yet, or workers only.
    """
    users: dict[str | None, set[str]] = defaultdict(set)
    for one in context.dependants:
        running = [t for t in (*one.new_tasks, *one.old_tasks) if t.is_running]
        serving = known_to_serve(context.graph, one.component, context.snapshot, running)
        for task in running:
            revision = one.observed.revisions.get(task.task_definition_arn)
            if task.arn in serving and revision is not None:
                for host in endpoint_hosts(endpoints_in(one.component, revision)):
                    users[host].add(one.component.name)
    frontends = {w.component.name for w in context.dependants if w.component.is_frontend}
    return {
        t.arn: (len(users[t.private_ip]), not users[t.private_ip].isdisjoint(frontends))
        for t in tasks
        if t.private_ip is not None
    }


def _most_useful_first(
    context: PlanContext, state: ComponentState, tasks: Sequence[Task]
) -> list[Task]:
    """``tasks``, the most useful first.

    Those whose etcd runs come before those that will exit soon. Then come those that are known to
    serve, even if registered with the former etcd; an etcd or NATS ranks by how many components
    serve with it, and whether frontends do. Then come those in use, and last those that have run
    for longest.
    """
    lost, now = without_etcd(context, state, tasks), context.now.wall
    used = in_use(context, state, tasks)
    if state.component.is_infrastructure:
        known = _users(context, tasks)
    else:
        serve = known_to_serve(context.graph, state.component, context.snapshot, tasks)
        known = dict.fromkeys(serve, (1, False))

    def rank(task: Task) -> tuple[bool, int, bool, bool, float, str]:
        arn = task.arn
        count, frontends = known.get(arn, (0, False))
        started = task.started_at or now
        return (arn in lost, -count, not frontends, arn not in used, started, arn)

    return sorted(tasks, key=rank)


def _in_the_way(context: PlanContext, state: ComponentState, kept: Sequence[Task]) -> list[Task]:
    """Kept tasks that leave the new side no place within ECS's upper limit.

    Protected tasks count for it: after two moves in a row both old sides would fill it for good.
    """
    service = state.service
    new = len(state.new_tasks)
    fresh = len(fresh_tasks(context, state)) if new else 0
    baking = service is not None and "baking" in service.tags.get(TAG_CANARY, "")
    if service is None or fresh < new or (new and (new >= state.desired or baking)):
        return []
    limits = service.settings.limits or DeploymentLimits()
    upper = service.desired * limits.maximum_percent // 100
    surplus = len(state.old_tasks) + new + 1 - max(upper, 1)
    if new:
        surplus = min(surplus, len(state.old_tasks) + fresh - _floor(state))
    ranked = _most_useful_first(context, state, kept)
    return ranked[max(0, len(ranked) - max(0, surplus)) :]


def tend_old_side(
    context: PlanContext, sides: Sequence[ComponentState], *, over: bool
) -> list[ProtectTasks]:
    """While endpoints move: lift what protects the old side once it is ``over``.

    Then the frontends go first, and those that they need once no old frontend is left. What leaves
    no place beside it is let go at once. A protection that ends before the rollout's deadline (it
    was given for another reason) is extended to it, and none beyond: then the new side is judged by
    itself.
    """
    now = context.snapshot.observed_at
    actions = []
    next_to_go = min((_rank(w) for w in sides if any(t.is_running for t in w.old_tasks)), default=0)
    for wanted in sides:
        kept = [t for t in wanted.old_tasks if is_protected(t, now)]
        if not kept:
            continue
        if over and _rank(wanted) <= next_to_go:
            actions.append(protect(wanted, kept, None, "the new revision is ready and routed"))
            continue
        crowding = _in_the_way(context, wanted, kept)
        if crowding:
            why = "the new revision finds no place beside it"
            actions.append(protect(wanted, crowding, None, why))
        begun = wanted.primary.created_at if wanted.primary is not None else None
        begun = now if begun is None else begun
        left = begun + rollout_seconds(context.graph, wanted.component) - now
        if left <= RENEW_SLACK_SECONDS:
            continue
        short = [t for t in kept if t not in crowding]
        short = _ending(short, (left - RENEW_SLACK_SECONDS) / 60.0, now)
        most = protectable(wanted, now, {t.arn for t in crowding})
        if ending := acceptable(short, most, now):
            why = "the new revision is not ready yet"
            actions.append(protect(wanted, ending, whole_minutes(left), why))
    return actions
