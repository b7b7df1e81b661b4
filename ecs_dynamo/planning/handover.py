"""How the old side of a rollout hands over to the new one: which old tasks are kept, until when.

ECS takes a task for healthy that merely runs, and stops an old one for it. What serves is known
here alone, so old tasks are protected for as long as new ones are not *ready*: one is let go for
each new one that has stayed ready for one discovery lease, idle ones first, and one that still
works gets the drain time.

ECS keeps the expiry of each protection, and that is all the memory there is: a protection that has
more left than the drain time was given to a task that was needed; when it is needed no more it is
shortened to the drain time, once, and not renewed. So the drain deadline holds across restarts,
and a daemon that does not come back holds nothing up.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ProtectTasks
from ecs_dynamo.model.snapshot import Snapshot, Task
from ecs_dynamo.model.spec import RolloutSpec
from ecs_dynamo.planning.capacity import free_rooms, surge_left, why_no_surge
from ecs_dynamo.planning.containers import ETCD_VARIABLE, NATS_VARIABLE, dynamo_containers
from ecs_dynamo.planning.drain import MAX_MINUTES, busy_tasks, drain_minutes, is_protected
from ecs_dynamo.planning.endpoints import injected_endpoints, share_endpoints
from ecs_dynamo.planning.leaving import leaving_tasks
from ecs_dynamo.planning.readiness import lease_seconds, may_serve, ready_tasks
from ecs_dynamo.planning.scene import Scene
from ecs_dynamo.planning.seen import environment_value
from ecs_dynamo.planning.wanted import Wanted

PROTECTION_MINUTES = 15
"""Task protection while the new side comes up: it ends by itself where the daemon does not come
back. Renewed before it ends."""
RENEW_MINUTES = 5
FOUND_SECONDS = 5.0
"""What clients and load balancers need to find a new frontend before an old one goes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What protections are given for, in minutes. ``drain`` 0: work in hand is not waited for."""

    keep: int
    renew: int
    drain: int


def terms(graph: Graph) -> Terms:
    """The graph's terms: needed tasks always have more left than the drain time."""
    drain = drain_minutes(graph)
    return Terms(
        keep=min(max(PROTECTION_MINUTES, drain + 5), MAX_MINUTES),
        renew=max(RENEW_MINUTES, drain + 2),
        drain=drain if graph.runtime.drain_seconds > 0 else 0,
    )


def _protect(wanted: Wanted, tasks: Sequence[Task], minutes: int | None, why: str) -> ProtectTasks:
    return ProtectTasks(
        component=wanted.component.name,
        reason=why,
        cluster=wanted.component.cluster,
        tasks=tuple(sorted(t.arn for t in tasks)),
        minutes=minutes,
    )


def _left(task: Task, now: float) -> float:
    """Minutes of protection that are left; 0 without."""
    return max(0.0, (task.protected_until or 0.0) - now) / 60.0


def _running(wanted: Wanted) -> list[Task]:
    return [t for t in (*wanted.new_tasks, *wanted.old_tasks) if t.is_running]


def hand_over(
    scene: Scene,
    wanted: Wanted,
    limits: RolloutSpec,
    *,
    begins: bool,
    baking: bool = False,
) -> list[ProtectTasks]:
    """Protections to set and lift before (``begins``) and while a component rolls.

    ``limits`` are those in force then; with ``baking`` the new replicas do not count yet.
    """
    graph, snapshot = scene.graph, scene.snapshot
    going = leaving_tasks(wanted, snapshot)  # They go for another reason, and at once.
    side = _running(wanted) if begins else list(wanted.old_tasks)
    old = [t for t in side if t not in going]
    if not old:
        return []
    rule, now = terms(graph), snapshot.observed_at
    serving = {t.arn for t in may_serve(graph, wanted.component, snapshot, old)}
    ready = {t.arn for t in ready_tasks(graph, wanted.component, snapshot, old)}
    busy = busy_tasks(graph, wanted, snapshot) or frozenset()
    fresh = 0 if begins or baking else len(fresh_tasks(scene, wanted))
    floor = math.ceil(wanted.desired * limits.minimum_healthy_percent / 100)
    count = max(0, min(floor - fresh, len(serving)))
    drains = {t.arn for t in old if 0 < _left(t, now) <= rule.drain + 1}
    # Those that serve before those that do not, then busy ones, then those not let go before.
    ranked = sorted(
        old,
        key=lambda t: (
            t.arn not in ready,
            t.arn not in serving,
            t.arn not in busy,
            t.arn in drains,
            t.arn,
        ),
    )
    needed, spare = ranked[:count], ranked[count:]
    keep = [t for t in needed if _left(t, now) < rule.renew]
    worked = [
        t
        for t in spare
        if t.arn in busy and rule.drain and (begins or _left(t, now) > rule.drain + 1)
    ]
    free = [t for t in spare if is_protected(t, now) and (t.arn not in busy or not rule.drain)]
    made: list[ProtectTasks] = []
    if keep:
        why = f"keep {len(keep)} serving until the new revision is ready"
        made.append(_protect(wanted, keep, rule.keep, why))
    if worked:
        why = f"{len(worked)} still work: they may finish within the drain time"
        made.append(_protect(wanted, worked, rule.drain, why))
    if free:
        why = f"{len(free)} are replaced and idle"
        made.append(_protect(wanted, free, None, why))
    return made


def keep_old_side(
    rolling: Sequence[Wanted], snapshot: Snapshot
) -> tuple[list[ProtectTasks], list[str]]:
    """Before endpoints move: protect all of what runs, wherever the new side fits beside it."""
    free = free_rooms(snapshot)
    actions: list[ProtectTasks] = []
    notes: list[str] = []
    for wanted in rolling:
        running = _running(wanted)
        # Protected tasks count for ECS's upper limit: with 100 % nothing would ever start.
        cramped = wanted.component.rollout.maximum_percent <= 100
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
        open_tasks = [t for t in running if not is_protected(t, snapshot.observed_at)]
        if open_tasks:
            why = f"keep {len(open_tasks)} serving until the new revision is ready"
            actions.append(_protect(wanted, open_tasks, PROTECTION_MINUTES, why))
    return actions, notes


def relocates(wanted: Wanted) -> bool:
    """The rollout under way leads to other endpoints than the old tasks have."""
    current = wanted.current
    if current is None:
        return False
    names = dynamo_containers(wanted.component).names
    return any(
        not share_endpoints(
            environment_value(old.content, variable, names),
            environment_value(current.content, variable, names),
        )
        for variable in (ETCD_VARIABLE, NATS_VARIABLE)
        for task in wanted.old_tasks
        if (old := wanted.seen.revisions.get(task.task_definition_arn)) is not None
    )


def stay_seconds(scene: Scene, wanted: Wanted, task: Task) -> float:
    """How long a new replica must stay ready before an old one goes for it.

    Workers and frontends: one discovery lease, so that nothing a former process has left behind
    counts any more, and a replica that exits soon after its start is no replacement. Clients and
    load balancers need some time too to find a frontend.
    """
    component = wanted.component
    lease = lease_seconds(scene.graph, component, wanted.seen, task)
    if component.is_frontend:
        return max(FOUND_SECONDS, lease)
    return lease if component.is_worker else 0.0


def fresh_tasks(scene: Scene, wanted: Wanted) -> tuple[Task, ...]:
    """Tasks of the new side that are proven ready now and have stayed so for long enough."""
    ready = ready_tasks(
        scene.graph, wanted.component, scene.snapshot, wanted.new_tasks, proven=True
    )
    now = scene.now.monotonic
    return tuple(
        t
        for t in ready
        if now - scene.ready_since.get(t.arn, now) >= stay_seconds(scene, wanted, t)
    )


def new_side_ready(scene: Scene, moved: Collection[str]) -> bool:
    """Each component that should run has a ready replica with the endpoints of now.

    ``moved`` are the dependants that have yet to be set to them. One that rolls for another reason
    is not waited for: it may be waiting itself for a rollout that this ends. While a new replica
    of the infrastructure is not ready, dependants still use the old one; who reaches it by a name
    does not change, and finds the new one when the old one goes.
    """
    follow = not moved and not any(relocates(w) for w in scene.dependants)
    waited = () if scene.graph.names and follow else scene.dependants
    return all(
        w.desired == 0
        or (
            w.service is not None
            and not (w.rolls if w.component.is_infrastructure else w.component.name in moved)
            and bool(fresh_tasks(scene, w))
        )
        for w in (*scene.infrastructure, *waited)
    )


def _rank(wanted: Wanted) -> int:
    """Requests come in at the frontends, which need workers, and all need the infrastructure."""
    if wanted.component.is_infrastructure:
        return 2
    return 0 if wanted.component.is_frontend else 1


def in_use(scene: Scene, wanted: Wanted) -> frozenset[str]:
    """ARNs of old tasks that are in use: registered, or at an address that dependants have."""
    if not wanted.component.is_infrastructure:
        tasks = may_serve(scene.graph, wanted.component, scene.snapshot, wanted.old_tasks)
        return frozenset(t.arn for t in tasks)
    injected = injected_endpoints(scene.graph, scene.snapshot).values()
    urls = [url for ends in injected for url in (ends.etcd, ends.nats) if url]
    hosts = {urlsplit(one).hostname for url in urls for one in url.split(",")}
    return frozenset(t.arn for t in wanted.old_tasks if t.private_ip in hosts)


def _in_the_way(scene: Scene, wanted: Wanted, kept: Sequence[Task]) -> list[Task]:
    """Kept tasks that leave the new side no place within ECS's upper limit.

    Protected tasks count for it: after two moves in a row both old sides would fill it for good.
    """
    service = wanted.service
    if service is None or wanted.new_tasks:
        return []
    upper = service.desired * (service.maximum_percent or 200) // 100
    surplus = len(wanted.old_tasks) + 1 - max(upper, 1)
    serves = in_use(scene, wanted)
    ranked = sorted(kept, key=lambda t: (t.arn in serves, -(t.started_at or scene.now.wall), t.arn))
    return ranked[: max(0, surplus)]


def tend_old_side(scene: Scene, sides: Sequence[Wanted], *, over: bool) -> list[ProtectTasks]:
    """While endpoints move: renew what protects the old side, and lift it once it is ``over``.

    Then the frontends go first, and those that they need once no old frontend is left. What leaves
    no place beside it is let go at once. Nothing is renewed beyond the progress deadline: then the
    new side is judged by itself.
    """
    now = scene.snapshot.observed_at
    actions = []
    next_to_go = min((_rank(w) for w in sides if any(t.is_running for t in w.old_tasks)), default=0)
    for wanted in sides:
        kept = [t for t in wanted.old_tasks if is_protected(t, now)]
        if not kept:
            continue
        if over and _rank(wanted) <= next_to_go:
            actions.append(_protect(wanted, kept, None, "the new revision is ready and routed"))
            continue
        crowding = _in_the_way(scene, wanted, kept)
        if crowding:
            why = "the new revision finds no place beside it"
            actions.append(_protect(wanted, crowding, None, why))
        begun = wanted.primary.created_at if wanted.primary is not None else None
        deadline = wanted.component.rollout.progress_deadline_seconds
        ending = [t for t in kept if t not in crowding and _left(t, now) < RENEW_MINUTES]
        if ending and (begun is None or now - begun < deadline):
            why = "the new revision is not ready yet"
            actions.append(_protect(wanted, ending, PROTECTION_MINUTES, why))
    return actions
