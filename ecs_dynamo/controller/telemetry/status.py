"""Plans and passes as JSON documents: what `--json`, `/status` and the web page show."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.controller.reconcile.last_known import (
    Known,
    unknown_endpoints,
)
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import Plan
from ecs_dynamo.model.redaction import without_secrets
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Task, Unknown
from ecs_dynamo.planning import describe, describe_action
from ecs_dynamo.planning.observed.lookup import (
    known_service,
    known_tasks,
)
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.observed.stopped_tasks import (
    recently_stopped,
    why_stopped,
)

Json = dict[str, Any]
STOPPED_SHOWN = 5
"""Of a component's stopped tasks, the newest."""


def timestamp(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, for people and machines alike."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def document(value: Any) -> Any:
    """A frozen value as JSON: camelCase keys, sets sorted, enums by value, no internal fields."""
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


def plan_document(plan: Plan, snapshot: Snapshot | None = None) -> Json:
    """The plan: each action with its kind, and the same lines that a terminal would show."""
    return {
        "graph": plan.graph,
        "converged": plan.converged,
        "actions": [
            {"action": type(a).__name__, **without_secrets(document(a)), "text": describe_action(a)}
            for a in plan.actions
        ],
        "waits": document(plan.waits),
        "notes": list(plan.notes),
        "shortages": document(plan.shortages),
        "endpoints": document(plan.endpoints),
        "decisions": document(plan.decisions),
        "text": describe(plan, snapshot),
    }


def _age(at: Now | None, now: Now) -> Json:
    """Of when a value is that is not known now; nulls where it never was."""
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


def _component(graph: Graph, component: Component, done: Pass, now: Now) -> Json:
    seen = done.snapshot.components[component.name]
    observed = not isinstance(seen.service, Unknown)
    counts = done.plan.replicas.get(component.name)
    known: Known | None = None
    ready: Collection[str] = {t.arn for t in ready_tasks(graph, component, done.snapshot)}
    why = done.plan.unknown.get(component.name)
    if why is not None:
        known = done.known.components.get(component.name)
        counts = known.replicas if known is not None else None
        ready = known.ready if known is not None else frozenset()
        if known is not None:
            seen = _filled(seen, known.seen)
    service = known_service(seen)
    return {
        "name": component.name,
        "roles": sorted(role.value for role in component.roles),
        "cluster": component.cluster,
        "service": component.service,
        "launchType": component.launch_type.value,
        "networkMode": component.network_mode.value,
        "observed": observed,
        "unknown": {"reason": why, **_age(known.at if known else None, now)} if why else None,
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
        "tasks": [_task(t, ready) for t in known_tasks(seen)],
        "stopped": [
            {
                "id": resource_name(t.arn),
                "taskDefinition": resource_name(t.task_definition_arn),
                "stoppedAt": timestamp(t.stopped_at),
                "code": t.stop_code,
                "why": why_stopped(t),
            }
            for t in recently_stopped(seen.stopped)[:STOPPED_SHOWN]
        ],
        "event": service.events[0] if service and service.events else None,
    }


def _filled(seen: ComponentSnapshot, before: ComponentSnapshot) -> ComponentSnapshot:
    """``seen``, with the parts of ``before`` where it has none."""
    return replace(
        seen,
        service=before.service if isinstance(seen.service, Unknown) else seen.service,
        tasks=before.tasks if isinstance(seen.tasks, Unknown) else seen.tasks,
        stopped=before.stopped if isinstance(seen.stopped, Unknown) else seen.stopped,
    )


def _endpoints(graph: Graph, done: Pass, now: Now) -> Json:
    """The endpoints, and where they are not known those that were."""
    why = unknown_endpoints(graph, done.plan)
    if why is None:
        return {"endpoints": document(done.plan.endpoints), "endpointsUnknown": None}
    age = _age(done.known.endpoints_at, now)
    return {
        "endpoints": document(done.known.endpoints),
        "endpointsUnknown": {"reason": why, **age},
    }


def pass_status(graph: Graph, done: Pass, asked: Now | None = None) -> Json:
    """What is so: the graph's components, endpoints, conditions, signals, decisions and waits.

    Ages are those at the moment ``asked``, by default that of the pass. What the pass could not
    observe is shown as it was last known; ``unknown`` says of when that is, and why.
    """
    now = done.now
    return {
        "graph": graph.name,
        "namespace": graph.namespace,
        "converged": done.converged,
        "observedAt": timestamp(now.wall),
        "passSeconds": round(done.seconds, 3),
        "passId": done.id,
        **_endpoints(graph, done, asked or now),
        "components": [_component(graph, c, done, asked or now) for c in graph.components],
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
        "signalProblems": dict(done.problems or {}),
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
