"""Whether a new revision comes up, and if not, why: the progress deadline.

ECS calls a deployment complete when its tasks run and pass their health checks; a worker that
never registers in Dynamo's discovery, or a frontend that never lists a model, serves nobody. A
revision is on probation until all of its replicas have stayed ready together for one discovery
lease; then it is marked good on its service, and is what later ones are taken back to. A good one
is never judged again: if it loses its registration, that is an outage and not a bad rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.graph import TAG_GOOD, Graph, Role
from ecs_dynamo.model.plan import Endpoints, TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service import (
    Service,
    good_arn,
)
from ecs_dynamo.model.snapshot import (
    Revision,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.desired.component import (
    ComponentState,
    RolloutFailure,
)
from ecs_dynamo.planning.desired.declaration import comparable
from ecs_dynamo.planning.observed.failure_reasons import (
    CANARY_LOST,
    CRASH_LOOP,
    HEALTH_CHECK,
    NEVER_REGISTERED,
    NO_ANSWER,
    NO_MODEL,
    NOT_RUNNING,
    START_FAILED,
    WORDS,
    lacks_place,
    reason_of,
)
from ecs_dynamo.planning.observed.readiness import (
    lease_seconds,
    ready_tasks,
)
from ecs_dynamo.planning.observed.stopped_tasks import last_failure
from ecs_dynamo.planning.rollout.canary import (
    WAIT_FOR_WORK,
    canary,
)
from ecs_dynamo.planning.rollout.protection import (
    busy_tasks,
    is_protected,
)

FORGOTTEN_SECONDS = 2700.0
"""ECS shows stopped tasks for an hour: one older than this may have had forerunners."""


def failures(state: ComponentState, since: float) -> list[Task]:
    """The stopped tasks of the revision in force that failed after ``since``."""
    service, stopped = state.service, state.observed.stopped
    if service is None or isinstance(stopped, Unknown):
        return []
    return [
        t
        for t in stopped
        if t.task_definition_arn == service.task_definition_arn
        and (t.stopped_at or since) >= since
        and reason_of([t]) is not None
    ]


def _begun(state: ComponentState, deployed: float, now: float) -> float:
    """When the rollout got its first place: waiting for one before is no fault of its own.

    ECS forgets stopped tasks after an hour, so an old failure stands for those before it.
    """
    failed = failures(state, deployed)
    tried = [*state.new_tasks, *failed]
    first = min((t.created_at for t in tried if t.created_at is not None), default=deployed)
    forgotten = any((t.stopped_at or now) < now - FORGOTTEN_SECONDS for t in failed)
    return deployed if forgotten else max(deployed, first)


def _checked(state: ComponentState) -> bool:
    content = state.current.content if state.current is not None else {}
    return any(
        c.get("healthCheck") and c.get("essential", True)
        for c in content.get("containerDefinitions", ())
    )


def _why(state: ComponentState, since: float) -> str:
    running = [t for t in state.new_tasks if t.last_status == "RUNNING"]
    stopped = reason_of(failures(state, since))
    if stopped is not None:
        return stopped
    if not running:
        return NOT_RUNNING
    if any(t.health == "UNHEALTHY" or (_checked(state) and t.health != "HEALTHY") for t in running):
        return HEALTH_CHECK
    if state.component.is_worker:
        return NEVER_REGISTERED
    return NO_MODEL if Role.FRONTEND in state.component.roles else NO_ANSWER


def _blameless(graph: Graph, state: ComponentState, snapshot: Snapshot) -> bool:
    """What it needs from others to become ready is not there, or could not be seen."""
    if state.content is None:  # No etcd, or no NATS, that answers.
        return True
    if state.component.is_worker:
        return isinstance(snapshot.registrations, Unknown)
    if not state.component.is_frontend:
        return False
    workers = [
        c
        for c in graph.components
        if c.is_worker
        and c.name in snapshot.components
        and isinstance(service := snapshot.components[c.name].service, Service)
        and service.desired > 0
    ]
    return not all(ready_tasks(graph, c, snapshot) for c in workers)


def _redeployed(state: ComponentState) -> bool:
    """The rollout leads to the same revision, with another network or the like."""
    arn = state.service.task_definition_arn if state.service is not None else ""
    return any(t.task_definition_arn == arn for t in state.old_tasks)


def _last_good(graph: Graph, state: ComponentState, snapshot: Snapshot) -> Revision | None:
    """The revision that is marked good; without a mark, one whose tasks are ready now."""
    service = state.service
    if service is None:
        return None
    marked = state.observed.revisions.get(good_arn(service) or "")
    if marked is not None and marked.content:  # Of one that was deleted unread nothing is known.
        return marked
    serving = ready_tasks(graph, state.component, snapshot, state.old_tasks)
    known = (state.observed.revisions.get(t.task_definition_arn) for t in serving)
    return max((r for r in known if r is not None), key=lambda r: r.number, default=None)


def assess_rollout(
    graph: Graph, state: ComponentState, snapshot: Snapshot, endpoints: Endpoints, now: float
) -> RolloutFailure | None:
    """Why the revision in force will not come up, once its progress deadline is over.

    The deadline counts from the last step: the first task that found a place, or the start of the
    newest replica that became ready. A lack of places is waited for, and told as such. A good
    revision that is deployed again, on another network, is judged too: there is nothing to go back
    to then.
    """
    service, current, primary = state.service, state.current, state.primary
    if (
        service is None
        or current is None
        or primary is None
        or primary.created_at is None
        or state.needs_rollout
        or state.desired == 0
        or (current.number == state.last_good and not _redeployed(state))
    ):
        return None
    ready = ready_tasks(graph, state.component, snapshot, state.new_tasks)
    if len(ready) >= min(state.desired, service.desired):
        return None
    step = canary(graph, state, snapshot, now)
    begun = _begun(state, primary.created_at, now)
    since = max([begun, *(t.started_at or 0.0 for t in ready)])
    allowed = state.component.rollout.progress_deadline_seconds
    spec = state.component.rollout.canary
    if ready and spec is not None:
        allowed += WAIT_FOR_WORK * spec.bake_seconds
    busy = busy_tasks(graph, state, snapshot) or frozenset()
    if ready or any(
        t.arn in busy and is_protected(t, snapshot.observed_at) for t in state.old_tasks
    ):
        allowed += graph.runtime.drain_seconds
    if ready:  # Old ones go after these have stayed ready; others find a place then.
        allowed += max(lease_seconds(graph, state.component, state.observed, t) for t in ready)
    lost = step is not None and step.lost and bool(failures(state, primary.created_at))
    if not lost and now - since <= allowed:
        return None
    # Old tasks that are kept for one that is not ready take places too: that is no shortage.
    pending = [t for t in state.new_tasks if t.desired_status == "RUNNING" and t not in ready]
    tried = [t for t in pending if not t.awaits_capacity]
    lacking = lacks_place(service) or len(tried) < len(pending)
    starved = not tried and not failures(state, primary.created_at) and lacking
    if starved or _blameless(graph, state, snapshot):
        return None
    reason = CANARY_LOST if lost else _why(state, primary.created_at)
    return _verdict(graph, state, snapshot, endpoints, reason)


def _verdict(
    graph: Graph, state: ComponentState, snapshot: Snapshot, endpoints: Endpoints, reason: str
) -> RolloutFailure:
    deadline = state.component.rollout.progress_deadline_seconds
    what = f"revision {state.fingerprint} was not ready within {deadline:.0f} s"
    if reason == NOT_RUNNING:
        what = f"revision {state.fingerprint} was not running within {deadline:.0f} s"
    elif reason == CANARY_LOST:
        what = f"revision {state.fingerprint}"
    former = _last_good(graph, state, snapshot)
    current = state.current
    names = dynamo_containers(state.component).names
    if (
        former is not None
        and current is not None
        and (
            former.arn == current.arn
            or comparable(former.content, endpoints, names)
            == comparable(current.content, endpoints, names)
        )
    ):
        former = None  # Just the endpoints differ: the revision is not to blame.
    if state.component.member is not None:
        former = None  # Its environment counted once, for a member that is no more.
    told = what if reason == NOT_RUNNING else f"{what}: {WORDS[reason]}"
    if reason in (CRASH_LOOP, START_FAILED, HEALTH_CHECK, CANARY_LOST):
        primary = state.primary
        detail = last_failure(failures(state, (primary.created_at if primary else None) or 0.0))
        told = f"{told} ({detail})" if detail else told
    if current is not None and current.number == state.last_good:
        return RolloutFailure(
            reason,
            f"{told}. The revision was good before: correct its network, names or capacity "
            "providers. Its former replicas are kept",
        )
    if former is None:
        return RolloutFailure(reason, f"{told}; there is no former revision that was good")
    return RolloutFailure(
        reason, f"{told}: back to {former.family}:{former.number}. Fix its task definition", former
    )


def with_rollout_failure(
    graph: Graph, state: ComponentState, snapshot: Snapshot, endpoints: Endpoints, now: float
) -> ComponentState:
    """``state`` with the verdict on the revision in force."""
    return replace(state, rollout_failure=assess_rollout(graph, state, snapshot, endpoints, now))


def on_probation(graph: Graph, state: ComponentState, snapshot: Snapshot) -> bool:
    """All of the service's revision is in place and ready, and it is not marked good yet."""
    service, current = state.service, state.current
    return not (
        service is None
        or current is None
        or state.needs_rollout
        or state.rollout_in_progress
        or state.old_tasks
        or state.desired == 0
        or current.number == state.last_good
        or isinstance(snapshot.registrations, Unknown)
        or len(ready_tasks(graph, state.component, snapshot, state.new_tasks)) < state.desired
    )


def probation_left(
    graph: Graph,
    state: ComponentState,
    snapshot: Snapshot,
    ready_since: Mapping[str, float],
    now: float,
) -> float:
    """Seconds until the revision has proven good: until as many replicas as are wanted have stayed
    ready for one discovery lease. Infinity where too few are proven ready in this pass."""
    ready = ready_tasks(graph, state.component, snapshot, state.new_tasks, proven=True)
    left = sorted(
        lease_seconds(graph, state.component, state.observed, t)
        - (now - ready_since.get(t.arn, now))
        for t in ready
    )
    return left[state.desired - 1] if len(left) >= state.desired else math.inf


def mark_good(state: ComponentState) -> TagService | None:
    """The note that the service's revision is good."""
    service, current = state.service, state.current
    if service is None or current is None:
        return None
    return TagService(
        component=state.component.name,
        reason=f"all of {current.family}:{current.number} has stayed ready",
        purpose=ActionPurpose.MARK_GOOD,
        cluster=state.component.cluster,
        service=service.name,
        set_tags={TAG_GOOD: str(current.number)},
    )
