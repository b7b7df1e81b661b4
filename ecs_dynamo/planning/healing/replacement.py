"""Replacing hung and lost replicas without stopping one that may still serve.

ECS replaces a stopped task with one of the same revision, so a lost replica is stopped and the good
revision stays. StopTask ignores scale-in protection, which covers scale-in and deployments only
(ECS developer guide, "Protect your Amazon ECS tasks from being terminated by scale-in events").

Which replicas are stopped:

- One that does not answer and has lost its registration: no requests are routed to it, and the
  daemon is not merely cut off from it.
- One that has lost its registration and answers, or whose page is unknown: after it has had time to
  register again or to exit, and once it has no pending work or the drain time has passed.
- One that is registered, and whose host accepts connections that the process does not answer: after
  a minute in which its pending work, where known, has not changed; a frontend after two minutes.
  Without a connection it is never stopped, since the daemon itself may be cut off.

One replica of a component is replaced at a time. The next one waits until the replacement is ready
and a pause has passed: 60 s after the first stop, doubling with each further one up to 30 minutes.
If all replicas of a component are lost at once, the cause is probably shared (etcd has lost its
data, or the network is partitioned), and the daemon waits longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.memory.health import (
    HealthMemory,
    Stop,
    Suspect,
    Symptom,
)
from ecs_dynamo.model.plan import Memory, StopTask
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.healing.health import (
    Health,
    detection_seconds,
    is_confirmed,
    is_settled,
    longest_detection_seconds,
)
from ecs_dynamo.planning.observed.endpoints import endpoints_complete
from ecs_dynamo.planning.observed.failure_reasons import lacks_place
from ecs_dynamo.planning.observed.lookup import short_id
from ecs_dynamo.planning.observed.reachability import unreachable
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.rollout.draining_instances import tasks_on_draining_instances
from ecs_dynamo.planning.rollout.handover import relocates

FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 1800.0
_BACKOFF = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
CERTAIN_SECONDS = 60.0
"""How long a possibly registered replica must be silent, or all of a component be lost."""
FRONTEND_SECONDS = 120.0
"""The same for a frontend, which has no registration: one that is overloaded answers late while it
still streams the answers that it has begun."""
OWNER = "ecs-dynamo"
"""Prefix of the stopped reason that ECS records."""


@dataclass(frozen=True, slots=True)
class Healing:
    """The ``stops`` to make, what each component waits for, and the ``memory`` with the stops."""

    stops: tuple[StopTask, ...]
    waits: Mapping[str, str]
    memory: HealthMemory


def _graph_blocker(context: PlanContext, moved: Collection[str], memory: Memory) -> str | None:
    """Why no replica of the graph may be stopped in this pass."""
    snapshot, now = context.snapshot, context.now.monotonic
    if isinstance(snapshot.registrations, Unknown):
        return f"Dynamo's discovery could not be read ({snapshot.registrations.reason})"
    if unreachable(snapshot) is not None:
        return "the daemon can reach no task"
    if not endpoints_complete(context.graph, context.endpoints):
        return "etcd or NATS does not answer"
    if moved or any(relocates(w) for w in context.dependants):
        return "endpoints are moving"
    for one in context.infrastructure:
        name = one.component.name
        if one.component.member is not None:
            continue  # A quorum of the others answered.
        if name in context.doubts.all:
            return f"the state of {name} is uncertain"
        ready = len(ready_tasks(context.graph, one.component, snapshot))
        if one.needs_rollout or one.rollout_in_progress or one.old_tasks or ready < one.desired:
            return f"not all of {name} is ready"
    if now - memory.started_at < 2 * detection_seconds(context.graph.runtime.lease_seconds):
        return "this daemon has only just started to observe"
    return None


def _component_blocker(context: PlanContext, state: ComponentState, health: Health) -> str | None:
    """Why no replica of the component may be stopped in this pass."""
    service, name = state.service, state.component.name
    if service is None or name in context.doubts.all:
        return "its state is uncertain"
    if not is_settled(state, context.endpoints):
        return "it is being rolled out"
    if service.desired != state.desired or service.running > service.desired:
        return "its count is changing"
    if tasks_on_draining_instances(state, context.snapshot):
        return "one of its instances is draining"
    tasks = [t for t in state.new_tasks if t.desired_status == "RUNNING"]
    ready = {t.arn for t in ready_tasks(context.graph, state.component, context.snapshot)}
    suspects = health.suspects(tasks)
    if any(t.arn not in ready and t.arn not in suspects for t in tasks):
        return "a replica is on its way"
    if len(tasks) < service.desired and not lacks_place(service):
        return "ECS has yet to start a replica"
    stop, now = health.memory.stops.get(name), context.now.monotonic
    if stop is not None:
        if any(t.arn == stop.task for t in tasks):
            left = stop.at + FIRST_PAUSE_SECONDS - now
            if left > 0:
                return f"task {short_id(stop.task)} is being stopped"
        if (left := stop.at + stop.pause - now) > 0:
            return f"{left:.0f} s remain of the pause after the last stop"
    return None


def _reason_to_wait(
    graph: Graph, suspect: Suspect, now: float, notice: float, certain: float, *, common: bool
) -> str | None:
    """Why the suspect is not stopped yet; None where it may be.

    ``certain``: how long a possibly registered replica must be silent. ``common``: all replicas
    that may share its cause are suspects.
    """
    if not is_confirmed(suspect, now, notice):
        return "it has to be observed again"
    lasts, gone = now - suspect.since, suspect.unregistered_since
    if gone is None:
        certain = 2 * certain if common else certain
        if not suspect.reached:
            return "the daemon may be cut off from it"
        still = lasts if suspect.work is None else min(lasts, now - suspect.work_since)
        return f"it may still serve; {certain - still:.0f} s left" if still < certain else None
    if common and now - gone < CERTAIN_SECONDS:
        left = CERTAIN_SECONDS - (now - gone)
        return f"all are lost at once, so the cause may be temporary; {left:.0f} s left"
    if suspect.symptom is Symptom.HANGS:
        return None if now > gone else "it has to be observed again"
    if now - gone < 2 * notice:
        return "it may register again or exit"
    if suspect.work != 0 and now - gone < graph.runtime.drain_seconds:
        return "it may have pending requests, and its drain time has not passed"
    return None


def _stop_reason(suspect: Suspect, now: float) -> str:
    lasts = f"for {now - suspect.since:.0f} s"
    if suspect.symptom is Symptom.UNREGISTERED:
        return f"it has had no registration in Dynamo's discovery {lasts}"
    if suspect.unregistered_since is None:
        return f"it has not answered {lasts}"
    return f"it has not answered {lasts}, and has lost its registration"


def _pause(before: Stop | None, now: float) -> float:
    """The pause after a stop at ``now``."""
    if before is None or now - before.at - before.pause >= LONGEST_PAUSE_SECONDS:
        return _BACKOFF.next(None)
    return _BACKOFF.next(before.pause)


def heal(
    context: PlanContext,
    health: Health,
    memory: Memory,
    moved: Collection[str],
    occupied: Collection[str],
) -> Healing:
    """At most one stop for each component with a problem.

    ``moved``: components that do not use the current endpoints. ``occupied``: components for which
    the plan already has actions.
    """
    stops: list[StopTask] = []
    waits: dict[str, str] = {}
    last_stops = dict(health.memory.stops)
    off = None if context.graph.runtime.replace_lost_replicas else "replaceLostReplicas is false"
    blocker = off or _graph_blocker(context, moved, memory)
    for one in context.dependants:
        name, now = one.component.name, context.now.monotonic
        problem = health.problems.get(name)
        if problem is None:
            continue
        waits[name] = problem.message
        if not health.suspects(one.new_tasks):
            continue  # ECS itself replaces tasks that have ended.
        wait = blocker or ("it has other pending actions" if name in occupied else None)
        wait = wait or _component_blocker(context, one, health)
        chosen, why = (None, wait) if wait is not None else _choose(context, one, health)
        if chosen is None:
            waits[name] = f"{problem.message}; not replaced yet: {why}"
            continue
        pause = _pause(last_stops.get(name), now)
        last_stops[name] = Stop(now, chosen.arn, pause)
        waits[name] = f"{problem.message}; task {short_id(chosen.arn)} is being replaced"
        stops.append(
            StopTask(
                component=name,
                reason=f"{why}; the next stop may follow in {pause:.0f} s",
                cluster=one.component.cluster,
                service=one.component.service,
                task=chosen.arn,
                why=f"{OWNER}: {why}",
            )
        )
    return Healing(tuple(stops), waits, replace(health.memory, stops=last_stops))


def _all_lost(wanted: Iterable[ComponentState], health: Health) -> bool:
    """Whether several replicas run and every one of them is a suspect."""
    running = [t for w in wanted for t in w.new_tasks if t.is_running]
    return len(running) > 1 and len(health.suspects(running)) == len(running)


def _choose(context: PlanContext, state: ComponentState, health: Health) -> tuple[Task | None, str]:
    """The replica to stop and the reason, or None and why it is not stopped yet."""
    graph, now = context.graph, context.now.monotonic
    suspects = health.suspects(t for t in state.new_tasks if t.is_running)
    workers = [w for w in context.dependants if w.component.is_worker]
    common = _all_lost([state], health)
    common = common or (state.component.is_worker and _all_lost(workers, health))
    certain = CERTAIN_SECONDS if state.component.is_worker else FRONTEND_SECONDS
    by_arn = {t.arn: t for t in state.new_tasks}
    waiting = ""
    for arn, suspect in sorted(suspects.items(), key=lambda i: (*_rank(i[1]), i[0])):
        notice = longest_detection_seconds(graph, state, {arn})
        wait = _reason_to_wait(graph, suspect, now, notice, certain, common=common)
        if wait is None:
            return by_arn[arn], _stop_reason(suspect, now)
        waiting = waiting or wait
    return None, waiting


def _rank(suspect: Suspect) -> tuple[bool, float]:
    """Unregistered replicas first, then those that have been lost for longest."""
    return suspect.unregistered_since is None, suspect.since
