"""Replacing replicas that hang or are lost, without touching one that may serve.

ECS replaces a task that ends by one of the same revision; so a lost replica is stopped, and the
revision, which is good, stays. StopTask stops a task whatever its scale-in protection: that is for
scale-in and deployments (ECS developer guide, "Protect your Amazon ECS tasks from being terminated
by scale-in events").

Who is stopped, by what is known of it:

- it does not answer and discovery has dropped it: nobody routes to it, and it is no worker of which
  the daemon is merely cut off;
- it answers, or its page is not known, and discovery has dropped it: once it has had the time to
  register again or to exit by itself, and has no work in hand, or has had the drain time for it;
- it is registered and its host takes connections which nobody answers: after a minute in which the
  work in hand at it, where that is known, has not changed; a frontend after two. Without a
  connection never: it may be the daemon that is cut off.

One replica of a component at a time: until its replacement is ready nothing more happens, and then
a pause has to be over, 60 s after the first and doubled from one to the next, up to 30 minutes.
Where all replicas of a component look lost at once the cause is likely a common one (etcd has lost
its data, or a network is cut): these are waited for longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.health import HealthMemory, Stop, Suspect, Symptom
from ecs_dynamo.model.plan import Memory, StopTask
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.planning.endpoints import endpoints_complete
from ecs_dynamo.planning.handover import relocates
from ecs_dynamo.planning.health import (
    Health,
    is_settled,
    is_told,
    longest_notice,
    notice_seconds,
    short_id,
)
from ecs_dynamo.planning.leaving import leaving_tasks
from ecs_dynamo.planning.reachability import unreachable
from ecs_dynamo.planning.readiness import ready_tasks
from ecs_dynamo.planning.reasons import lacks_place
from ecs_dynamo.planning.scene import Scene
from ecs_dynamo.planning.wanted import Wanted

FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 1800.0
CERTAIN_SECONDS = 60.0
"""For how long a replica that may be registered must be silent, and all of a component be lost."""
FRONTEND_SECONDS = 120.0
"""The same of a frontend: no registration tells of it, and one that is flooded with requests is
slow to answer, while the answers that it streams go on."""
OWNER = "ecs-dynamo"
"""How the reason of a stop begins that ECS keeps."""


@dataclass(frozen=True, slots=True)
class Healing:
    """``stops`` to make, ``waits`` by component in words, and the ``memory`` with the stops."""

    stops: tuple[StopTask, ...]
    waits: Mapping[str, str]
    memory: HealthMemory


def _unsettled(scene: Scene, moved: Collection[str], memory: Memory) -> str | None:
    """Why nothing at all is replaced in this pass."""
    snapshot, now = scene.snapshot, scene.now.monotonic
    if isinstance(snapshot.registrations, Unknown):
        return f"Dynamo's discovery could not be read ({snapshot.registrations.reason})"
    if unreachable(snapshot) is not None:
        return "no task can be reached from here"
    if not endpoints_complete(scene.graph, scene.endpoints):
        return "etcd or NATS does not answer"
    if moved or any(relocates(w) for w in scene.dependants):
        return "endpoints move"
    for one in scene.infrastructure:
        name = one.component.name
        if one.component.member is not None:
            continue  # A quorum of the others answered.
        if name in scene.doubts.all:
            return f"{name} is not known for certain"
        ready = len(ready_tasks(scene.graph, one.component, snapshot))
        if one.rolls or one.rolling or one.old_tasks or ready < one.desired:
            return f"{name} is not ready, all of it"
    if now - memory.started_at < 2 * notice_seconds(scene.graph.runtime.lease_seconds):
        return "this daemon has only begun to look"
    return None


def _held_up(scene: Scene, wanted: Wanted, health: Health) -> str | None:
    """Why no replica of the component is stopped in this pass."""
    service, name = wanted.service, wanted.component.name
    if service is None or name in scene.doubts.all:
        return "it is not known for certain"
    if not is_settled(wanted, scene.endpoints):
        return "it is being rolled"
    if service.desired != wanted.desired or service.running > service.desired:
        return "its count changes"
    if leaving_tasks(wanted, scene.snapshot):
        return "an instance of it drains"
    there = [t for t in wanted.new_tasks if t.desired_status == "RUNNING"]
    ready = {t.arn for t in ready_tasks(scene.graph, wanted.component, scene.snapshot)}
    suspects = health.suspects(there)
    if any(t.arn not in ready and t.arn not in suspects for t in there):
        return "a replica is on its way"
    if len(there) < service.desired and not lacks_place(service):
        return "ECS has yet to start a replica"
    stop, now = health.memory.stops.get(name), scene.now.monotonic
    if stop is not None:
        if any(t.arn == stop.task for t in there):
            left = stop.at + FIRST_PAUSE_SECONDS - now
            if left > 0:
                return f"task {short_id(stop.task)} is being stopped"
        if (left := stop.at + stop.pause - now) > 0:
            return f"the pause after the last one lasts {left:.0f} s more"
    return None


def _waits_for(
    graph: Graph, suspect: Suspect, now: float, notice: float, certain: float, *, common: bool
) -> str | None:
    """What is waited for before the suspect is stopped; None where nothing is.

    ``certain``: for how long one that may be registered must be silent. ``common``: all that it
    shares a cause with look lost.
    """
    if not is_told(suspect, now, notice):
        return "it is looked at again"
    lasts, gone = now - suspect.since, suspect.unregistered_since
    if gone is None:
        certain = 2 * certain if common else certain
        if not suspect.reached:
            return "the daemon may be cut off from it"
        still = lasts if suspect.work is None else min(lasts, now - suspect.work_since)
        return f"it may still serve, {certain - still:.0f} s more" if still < certain else None
    if common and now - gone < CERTAIN_SECONDS:
        left = CERTAIN_SECONDS - (now - gone)
        return f"all are lost at once, of a cause that may end: {left:.0f} s more"
    if suspect.symptom is Symptom.HANGS:
        return None if now > gone else "it is looked at again"
    if now - gone < 2 * notice:
        return "it may register again, or exit by itself"
    if suspect.work != 0 and now - gone < graph.runtime.drain_seconds:
        return "it may work on requests, for which it has the drain time"
    return None


def _why(suspect: Suspect, now: float) -> str:
    lasts = f"for {now - suspect.since:.0f} s"
    if suspect.symptom is Symptom.UNREGISTERED:
        return f"it has had no registration in Dynamo's discovery {lasts}"
    if suspect.unregistered_since is None:
        return f"it has not answered {lasts}"
    return f"it has not answered {lasts}, and has lost its registration"


def _pause(before: Stop | None, now: float) -> float:
    """The pause after a stop of now."""
    if before is None or now - before.at - before.pause >= LONGEST_PAUSE_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(2 * before.pause, LONGEST_PAUSE_SECONDS)


def heal(
    scene: Scene,
    health: Health,
    memory: Memory,
    moved: Collection[str],
    occupied: Collection[str],
) -> Healing:
    """At most one stop for each component of which something is told.

    ``moved``: components whose endpoints are not those of now. ``occupied``: components for which
    the plan has actions already.
    """
    stops: list[StopTask] = []
    waits: dict[str, str] = {}
    made = dict(health.memory.stops)
    off = None if scene.graph.runtime.replace_lost_replicas else "replaceLostReplicas is false"
    unsettled = off or _unsettled(scene, moved, memory)
    for one in scene.dependants:
        name, now = one.component.name, scene.now.monotonic
        told = health.told.get(name)
        if told is None:
            continue
        waits[name] = told.message
        if not health.suspects(one.new_tasks):
            continue  # ECS replaces what has ended.
        held = unsettled or ("other things come first" if name in occupied else None)
        held = held or _held_up(scene, one, health)
        chosen, why = (None, held) if held is not None else _choose(scene, one, health)
        if chosen is None:
            waits[name] = f"{told.message}; not replaced yet: {why}"
            continue
        pause = _pause(made.get(name), now)
        made[name] = Stop(now, chosen.arn, pause)
        waits[name] = f"{told.message}; task {short_id(chosen.arn)} is replaced"
        stops.append(
            StopTask(
                component=name,
                reason=f"{why}; the next one may follow in {pause:.0f} s",
                cluster=one.component.cluster,
                service=one.component.service,
                task=chosen.arn,
                why=f"{OWNER}: {why}",
            )
        )
    return Healing(tuple(stops), waits, replace(health.memory, stops=made))


def _all_lost(wanted: Iterable[Wanted], health: Health) -> bool:
    """Several replicas run, and something is wrong with each of them."""
    running = [t for w in wanted for t in w.new_tasks if t.is_running]
    return len(running) > 1 and len(health.suspects(running)) == len(running)


def _choose(scene: Scene, wanted: Wanted, health: Health) -> tuple[Task | None, str]:
    """The replica to stop and why, or what is waited for."""
    graph, now = scene.graph, scene.now.monotonic
    suspects = health.suspects(t for t in wanted.new_tasks if t.is_running)
    workers = [w for w in scene.dependants if w.component.is_worker]
    common = _all_lost([wanted], health)
    common = common or (wanted.component.is_worker and _all_lost(workers, health))
    certain = CERTAIN_SECONDS if wanted.component.is_worker else FRONTEND_SECONDS
    by_arn = {t.arn: t for t in wanted.new_tasks}
    waiting = ""
    for arn, suspect in sorted(suspects.items(), key=lambda i: (*_rank(i[1]), i[0])):
        notice = longest_notice(graph, wanted, {arn})
        left = _waits_for(graph, suspect, now, notice, certain, common=common)
        if left is None:
            return by_arn[arn], _why(suspect, now)
        waiting = waiting or left
    return None, waiting


def _rank(suspect: Suspect) -> tuple[bool, float]:
    """What discovery has dropped goes before what it has not, then who is lost for longest."""
    return suspect.unregistered_since is None, suspect.since
