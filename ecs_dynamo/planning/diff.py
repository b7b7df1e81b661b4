"""A plan in lines that a person can read before agreeing to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ecs_dynamo.model.graph import JsonObject
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    CreateService,
    DeleteService,
    DrainInstance,
    HoldService,
    MarkService,
    Plan,
    ProtectTasks,
    RegisterTaskDefinition,
    RetireRevisions,
    SetDesiredCapacity,
    SetInstancesState,
    TagService,
    TerminateInstance,
    UpdateService,
)
from ecs_dynamo.model.secrecy import without_secrets
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.seen import known_service


def _flatten(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _flatten(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            named = isinstance(item, dict) and "name" in item
            yield from _flatten(item, f"{path}[{item['name'] if named else index}]")
    else:
        yield path, str(value)


def content_diff(old: JsonObject, new: JsonObject) -> list[str]:
    """Leaf by leaf: ``- path: old`` and ``+ path: new``, in path order.

    Only leaves that the new content names are compared: ECS adds defaults of its own. What may be
    a secret is told to differ, and not shown.
    """
    before, after = dict(_flatten(old, "")), dict(_flatten(new, ""))
    was, now = (dict(_flatten(without_secrets(content), "")) for content in (old, new))
    lines: list[str] = []
    for path in sorted(after):
        if before.get(path) != after[path]:
            if path in before:
                lines.append(f"- {path}: {was[path]}")
            lines.append(f"+ {path}: {now[path]}")
    return lines


def describe_action(action: AnyAction) -> str:
    """One line: what, where, why."""
    match action:
        case RegisterTaskDefinition():
            what = f"register task definition {action.family}"
        case CreateService():
            what = f"create service {action.service} x{action.desired} in {action.cluster}"
        case UpdateService():
            what = f"update service {action.service}"
        case ProtectTasks():
            verb = "release" if action.minutes is None else "protect"
            what = f"{verb} {len(action.tasks)} tasks"
        case DeleteService():
            what = f"delete service {action.service} in {action.cluster}"
        case HoldService():
            what = f"hold service {action.service}"
        case MarkService():
            what = f"mark service {action.service}: {action.tag.rpartition(':')[2]} {action.value}"
        case TagService():
            what = f"tag service {action.service}"
        case DrainInstance():
            what = f"drain container instance {action.instance.rpartition('/')[2]}"
        case RetireRevisions():
            what = f"delete {len(action.arns)} old revisions of {action.family}"
        case SetDesiredCapacity():
            what = f"raise Auto Scaling group {action.group} to {action.desired}"
        case SetInstancesState():
            what = f"set {len(action.instances)} instances to {action.status}"
        case TerminateInstance():
            what = f"give back instance {action.ec2_instance_id}"
        case ChangeMembership():
            whom = f" {action.member:x}" if action.member else ""
            what = f"{action.step.value} etcd member{whom} {action.peer_url}".rstrip()
    return f"{action.component}: {what}: {action.reason}"


def describe(plan: Plan, snapshot: Snapshot | None = None) -> list[str]:
    """The plan's actions with what changes in a task definition, then what does not fit, waits,
    notes."""
    lines: list[str] = []
    for action in plan.actions:
        lines.append(describe_action(action))
        seen = snapshot.components.get(action.component) if snapshot else None
        service = known_service(seen) if seen else None
        if isinstance(action, RegisterTaskDefinition) and seen and service:
            current = seen.revisions.get(service.task_definition_arn)
            if current is not None:
                lines += [f"    {line}" for line in content_diff(current.content, action.content)]
    lines += [f"short: {s.component}: {s.message}" for s in plan.shortages]
    lines += [f"wait: {w.component}: {w.reason}" for w in plan.waits]
    lines += [f"note: {note}" for note in plan.notes]
    return lines
