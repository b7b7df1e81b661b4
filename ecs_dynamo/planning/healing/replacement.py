"""Rule: replace hung and lost replicas without stopping one that may still serve.

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

from collections.abc import Iterable
from dataclasses import replace

from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.memory.health import Stop, Suspect, Symptom
from ecs_dynamo.model.plan import StopTask
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import Health, PlanBuilder
from ecs_dynamo.planning.healing.health import (
    detection_seconds,
    is_confirmed,
    is_settled,
    longest_detection_seconds,
)
from ecs_dynamo.planning.observed.endpoints import endpoints_complete
from ecs_dynamo.planning.observed.failure_reasons import lacks_capacity
from ecs_dynamo.planning.observed.lookup import short_id
from ecs_dynamo.planning.rollout.handover.moves import relocates

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


def _graph_blocker(context: PlanContext) -> str | None:
    """Return why no replica of the graph may be stopped in this pass."""
    snapshot, now = context.snapshot, context.now.monotonic
    if isinstance(snapshot.registrations, Unknown):
        return f"Dynamo's discovery could not be read ({snapshot.registrations.reason})"
    if context.observed.unreachable is not None:
        return "the daemon can reach no task"
    if not endpoints_complete(context.graph, context.endpoints):
        return "etcd or NATS does not answer"
    if context.stale or any(relocates(s) for s in context.dependants):
        return "endpoints are moving"
    for state in context.infrastructure:
        name = state.name
        if state.component.member is not None:
            continue  # A quorum of the others answered.
        if name in context.doubts.all:
            return f"the state of {name} is uncertain"
        rolling = state.needs_rollout or state.rollout_in_progress or state.old_tasks
        if rolling or len(state.observed.readiness.ready) < state.desired:
            return f"not all of {name} is ready"
    if now - context.memory.started_at < 2 * detection_seconds(context.graph.runtime.lease_seconds):
        return "this daemon has only just started to observe"
    return None


def _component_blocker(context: PlanContext, state: ComponentState, health: Health) -> str | None:
    """Return why no replica of the component may be stopped in this pass."""
    service, name = state.service, state.name
    if service is None or name in context.doubts.all:
        return "its state is uncertain"
    if not is_settled(state, context.endpoints):
        return "it is being rolled out"
    if service.desired != state.desired or service.running > service.desired:
        return "its count is changing"
    if state.observed.draining_tasks:
        return "one of its instances is draining"
    tasks = [t for t in state.new_tasks if t.desired_status == "RUNNING"]
    ready = state.observed.readiness.ready
    suspects = health.suspects(tasks)
    if any(t.arn not in ready and t.arn not in suspects for t in tasks):
        return "a replica is starting"
    if len(tasks) < service.desired and not lacks_capacity(service):
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
    suspect: Suspect, monotonic: float, notice: float, certain: float, drain: float, *, common: bool
) -> str | None:
    """Return why the suspect is not stopped yet; None if it may be.

    ``certain``: how long a possibly registered replica must be silent. ``common``: all replicas
    that may share its cause are suspects. ``drain``: the drain time in seconds.
    """
    if not is_confirmed(suspect, monotonic, notice):
        return "it has to be observed again"
    lasts, unregistered_since = monotonic - suspect.since, suspect.unregistered_since
    if unregistered_since is None:
        certain = 2 * certain if common else certain
        if not suspect.reached:
            return "the daemon may be cut off from it"
        still = lasts if suspect.work is None else min(lasts, monotonic - suspect.work_since)
        return f"it may still serve; {certain - still:.0f} s left" if still < certain else None
    if common and monotonic - unregistered_since < CERTAIN_SECONDS:
        left = CERTAIN_SECONDS - (monotonic - unregistered_since)
        return f"all are lost at once, so the cause may be temporary; {left:.0f} s left"
    if suspect.symptom is Symptom.HANGS:
        return None if monotonic > unregistered_since else "it has to be observed again"
    if monotonic - unregistered_since < 2 * notice:
        return "it may register again or exit"
    if suspect.work != 0 and monotonic - unregistered_since < drain:
        return "it may have pending requests, and its drain time has not passed"
    return None


def _stop_reason(suspect: Suspect, monotonic: float) -> str:
    lasts = f"for {monotonic - suspect.since:.0f} s"
    if suspect.symptom is Symptom.UNREGISTERED:
        return f"it has had no registration in Dynamo's discovery {lasts}"
    if suspect.unregistered_since is None:
        return f"it has not answered {lasts}"
    return f"it has not answered {lasts}, and has lost its registration"


def _pause(before: Stop | None, monotonic: float) -> float:
    """Return the pause after a stop at ``monotonic``, in seconds."""
    if before is None or monotonic - before.at - before.pause >= LONGEST_PAUSE_SECONDS:
        return _BACKOFF.next(None)
    return _BACKOFF.next(before.pause)


def replace_lost_replicas(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Stop at most one replica of each component with a problem, or explain why none is stopped.

    Components that already have actions in this plan are left alone.
    """
    stops = dict(builder.health.memory.stops)
    blocker = "replaceLostReplicas is false"
    if context.graph.runtime.replace_lost_replicas:
        blocker = _graph_blocker(context) or ""
    occupied = builder.components_with_actions
    health = builder.health
    for state in context.dependants:
        name, now = state.name, context.now.monotonic
        problem = health.problems.get(name)
        if problem is None:
            continue
        text = problem.message
        # ECS itself replaces tasks that have ended, so only suspects can be stopped.
        if health.suspects(state.new_tasks):
            wait = blocker or ("it has other pending actions" if name in occupied else "")
            wait = wait or _component_blocker(context, state, health) or ""
            task, why = (None, wait) if wait else _choose(context, state, health)
            if task is None:
                text = f"{text}; not replaced yet: {why}"
            else:
                pause = _pause(stops.get(name), now)
                stops[name] = Stop(now, task.arn, pause)
                text = f"{text}; task {short_id(task.arn)} is being replaced"
                builder = builder.with_actions([_stop(state, task, why, pause)])
        builder = builder.with_wait(name, WaitPurpose.LOST_REPLICAS, text)
    memory = replace(health.memory, stops=stops)
    return replace(builder, health=replace(health, memory=memory))


def _stop(state: ComponentState, task: Task, why: str, pause: float) -> StopTask:
    return StopTask(
        component=state.name,
        reason=f"{why}; the next stop may follow in {pause:.0f} s",
        cluster=state.component.cluster,
        service=state.component.service,
        task=task.arn,
        why=f"{OWNER}: {why}",
    )


def _all_lost(states: Iterable[ComponentState], health: Health) -> bool:
    """Return whether several replicas run and every one of them is a suspect."""
    running = [t for s in states for t in s.new_tasks if t.is_running]
    return len(running) > 1 and len(health.suspects(running)) == len(running)


def _choose(context: PlanContext, state: ComponentState, health: Health) -> tuple[Task | None, str]:
    """Return the replica to stop and the reason, or None and why it is not stopped yet."""
    graph, now = context.graph, context.now.monotonic
    suspects = health.suspects(t for t in state.new_tasks if t.is_running)
    workers = [s for s in context.dependants if s.component.is_worker]
    common = _all_lost([state], health)
    common = common or (state.component.is_worker and _all_lost(workers, health))
    certain = CERTAIN_SECONDS if state.component.is_worker else FRONTEND_SECONDS
    drain = graph.drain_seconds(state.component)
    by_arn = {t.arn: t for t in state.new_tasks}
    waiting = ""
    for arn, suspect in sorted(suspects.items(), key=lambda i: (*_rank(i[1]), i[0])):
        notice = longest_detection_seconds(graph, state, {arn})
        wait = _reason_to_wait(suspect, now, notice, certain, drain, common=common)
        if wait is None:
            return by_arn[arn], _stop_reason(suspect, now)
        waiting = waiting or wait
    return None, waiting


def _rank(suspect: Suspect) -> tuple[bool, float]:
    """Return a key that sorts unregistered replicas first, then those lost for longest."""
    return suspect.unregistered_since is None, suspect.since
