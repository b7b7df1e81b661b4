"""Plans and passes as JSON documents, for `--json`, `/status` and the status page."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.controller.reconcile.last_known import KnownComponent, unknown_endpoints
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import AnyAction, CreateService, Plan, UpdateService
from ecs_dynamo.model.redaction import without_secrets
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Task, Unknown
from ecs_dynamo.planning import describe, describe_action
from ecs_dynamo.planning.observed.lookup import (
    known_service,
    known_tasks,
)
from ecs_dynamo.planning.observed.stopped_tasks import (
    recently_stopped,
    why_stopped,
)

Json = dict[str, Any]
MAX_STOPPED = 5
"""Number of a component's newest stopped tasks that are shown."""
_SETTINGS_KEYS: Final = {
    "limits": "rollout",
    "placementStrategy": "strategy",
    "placementConstraints": "constraints",
    "tagsReachTasks": "propagateTags",
}
"""Member of `ServiceSettings` -> its key in an action's document, where they differ."""


def timestamp(seconds: float | None) -> str | None:
    """Format UTC seconds as ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def document(value: Any) -> Any:
    """Convert a frozen value to JSON: camelCase keys, sorted sets, enum values, public fields."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            to_camel(f.name): document(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not f.metadata.get("internal")
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): document(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(document(item) for item in value)
    if isinstance(value, tuple | list):
        return [document(item) for item in value]
    return value


def _action_document(action: AnyAction) -> Json:
    """An action's fields; settings of a service stand beside them, under their established keys."""
    fields: Json = document(action)
    if not isinstance(action, CreateService | UpdateService):
        return fields
    settings: Json = fields.pop("settings")
    names = {"registry": "serviceRegistry", "connect": "serviceConnect"}
    fields["names"] = {key: settings.pop(member) for key, member in names.items()}
    return fields | {_SETTINGS_KEYS.get(key, key): value for key, value in settings.items()}


def plan_document(plan: Plan, snapshot: Snapshot | None = None) -> Json:
    """Return a plan as JSON: each action with its kind, and the lines that a terminal shows."""
    return {
        "graph": plan.graph,
        "converged": plan.converged,
        "actions": [
            {
                "action": type(action).__name__,
                **without_secrets(_action_document(action)),
                "text": describe_action(action),
            }
            for action in plan.actions
        ],
        "waits": document(plan.waits),
        "notes": list(plan.notes),
        "shortages": document(plan.shortages),
        "endpoints": document(plan.endpoints),
        "decisions": document(plan.decisions),
        "text": describe(plan, snapshot),
    }


def _age(at: Now | None, now: Now) -> Json:
    """Return time and age of a last known value; null if it was never known."""
    return {
        "lastKnownAt": timestamp(at.wall) if at is not None else None,
        "ageSeconds": round(now.monotonic - at.monotonic, 1) if at is not None else None,
    }


def _task(task: Task, ready: Collection[str]) -> Json:
    return {
        "arn": task.arn,
        "id": resource_name(task.arn),
        "status": task.last_status,
        "health": task.health,
        "ready": task.arn in ready,
        "privateIp": task.private_ip,
        "taskDefinition": resource_name(task.task_definition_arn),
        "startedAt": timestamp(task.started_at),
        "protectedUntil": timestamp(task.protected_until),
    }


def _stopped(task: Task) -> Json:
    return {
        "id": resource_name(task.arn),
        "taskDefinition": resource_name(task.task_definition_arn),
        "stoppedAt": timestamp(task.stopped_at),
        "code": task.stop_code,
        "why": why_stopped(task),
    }


def _component(component: Component, done: Pass, now: Now) -> Json:
    snapshot = done.snapshot.components[component.name]
    observed = not isinstance(snapshot.service, Unknown)
    counts = done.plan.replicas.get(component.name)
    known: KnownComponent | None = None
    ready: Collection[str] = done.plan.ready.get(component.name, frozenset())
    reason = done.plan.unknown.get(component.name)
    if reason is not None:
        known = done.known.components.get(component.name)
        counts = known.replicas if known is not None else None
        ready = known.ready if known is not None else frozenset()
        if known is not None:
            snapshot = _with_last_known(snapshot, known.snapshot)
    service = known_service(snapshot)
    return {
        "name": component.name,
        "component": component.origin,
        "generation": component.generation,
        "roles": sorted(role.value for role in component.roles),
        "cluster": component.cluster,
        "service": component.service,
        "launchType": component.launch_type.value,
        "networkMode": component.network_mode.value,
        "observed": observed,
        "unknown": (
            {"reason": reason, **_age(known.at if known else None, now)} if reason else None
        ),
        "exists": service is not None,
        "revision": resource_name(service.task_definition_arn) if service else None,
        "declared": component.replicas,
        "scaling": (
            {"min": component.scaling.min, "max": component.scaling.max}
            if component.scaling
            else None
        ),
        "replicas": document(counts) if counts else None,
        "shortage": next(
            (document(s) for s in done.plan.shortages if s.component == component.name), None
        ),
        "deployments": document(service.deployments) if service else [],
        "tasks": [_task(t, ready) for t in known_tasks(snapshot)],
        "stopped": [_stopped(t) for t in recently_stopped(snapshot.stopped)[:MAX_STOPPED]],
        "event": service.events[0] if service and service.events else None,
    }


def _with_last_known(current: ComponentSnapshot, before: ComponentSnapshot) -> ComponentSnapshot:
    """Return ``current`` with the unknown parts replaced by those of ``before``."""
    return replace(
        current,
        service=before.service if isinstance(current.service, Unknown) else current.service,
        tasks=before.tasks if isinstance(current.tasks, Unknown) else current.tasks,
        stopped=before.stopped if isinstance(current.stopped, Unknown) else current.stopped,
    )


def _endpoints(graph: Graph, done: Pass, now: Now) -> Json:
    """Return the endpoints; unknown ones as they were last known."""
    reason = unknown_endpoints(graph, done.plan)
    if reason is None:
        return {"endpoints": document(done.plan.endpoints), "endpointsUnknown": None}
    age = _age(done.known.endpoints_at, now)
    return {
        "endpoints": document(done.known.endpoints),
        "endpointsUnknown": {"reason": reason, **age},
    }


def pass_status(graph: Graph, done: Pass, at: Now | None = None) -> Json:
    """Return the state of a graph as JSON: components, endpoints, conditions, signals, decisions.

    ``components`` has those of every generation that runs; ``component`` is the declared name of
    each, and ``generation`` that of its workers. Ages are those at the time ``at``, by default that
    of the pass. A component that the pass could not observe is shown as it was last known; its key
    ``unknown`` has the reason and the age.
    """
    now = done.now
    effective = done.plan.effective or graph
    return {
        "graph": graph.name,
        "namespace": graph.namespace,
        "generations": document(effective.generations),
        "converged": done.converged,
        "observedAt": timestamp(now.wall),
        "passSeconds": round(done.seconds, 3),
        "passId": done.id,
        **_endpoints(graph, done, at or now),
        "components": [_component(c, done, at or now) for c in effective.components],
        "conditions": [{**document(c), "since": timestamp(c.since)} for c in done.plan.conditions],
        "waits": document(done.plan.waits),
        "notes": list(done.plan.notes),
        "signals": [
            {
                **document(signal),
                "observedAt": timestamp(now.wall_of(signal.observed_at)),
                "ageSeconds": round(signal.age(now.monotonic), 1),
            }
            for signal in done.snapshot.signals
        ],
        "signalProblems": dict(done.problems),
        "malformed": list(done.malformed),
        "unattributed": list(done.plan.unattributed),
        "decisions": document(done.plan.decisions),
        "actions": [
            {
                "text": describe_action(r.action),
                "ok": r.ok,
                "changed": r.changed,
                "error": r.error,
                "seconds": round(r.seconds, 3),
            }
            for r in done.results
        ],
        "unknown": list(done.unknown),
    }
