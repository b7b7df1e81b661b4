"""Plans as lines of text, for people who decide whether to apply them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.graph import JsonObject
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    CreateService,
    DeleteService,
    Plan,
    ProtectTasks,
    RegisterTaskDefinition,
    RetireRevisions,
    SetDesiredCapacity,
    SetInstancesState,
    StopTask,
    TagService,
    TerminateInstance,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.redaction import without_secrets
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import RULES, ServiceSettings
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Snapshot,
)
from ecs_dynamo.planning.desired.canonical import (
    Named,
    canonical,
)
from ecs_dynamo.planning.observed.lookup import (
    known_revisions,
    known_service,
    short_id,
)


def content_diff(old: JsonObject, new: JsonObject) -> list[str]:
    """Return the changes from ``old`` to ``new``: ``- path: value`` and ``+ path: value``.

    Both are compared in canonical form (`desired.canonical`), so that neither ECS's own defaults
    nor equal values that are written differently are shown. Values that may be secrets are shown
    as different, without their content.
    """
    was, now = canonical(without_secrets(old)), canonical(without_secrets(new))
    return list(_differences(canonical(old), canonical(new), was, now, ""))


def _differences(old: Any, new: Any, was: Any, now: Any, path: str) -> Iterator[str]:
    """Yield the differences between ``old`` and ``new``, with the values of ``was`` and ``now``."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = _inner(old, new, key, path)
            if key not in new:
                yield from _removed(was[key], inner)
            elif key not in old:
                yield from _leaves(now[key], inner, "+")
            else:
                yield from _differences(old[key], new[key], was[key], now[key], inner)
    elif isinstance(old, list) and isinstance(new, list):
        words = [[json.dumps(item, sort_keys=True) for item in side] for side in (old, new)]
        matcher = SequenceMatcher(a=words[0], b=words[1], autojunk=False)
        for _, start, end, begin, stop in matcher.get_opcodes():
            if words[0][start:end] != words[1][begin:stop]:
                for index in range(start, end):
                    yield from _leaves(was[index], f"{path}[{index}]", "-")
                for index in range(begin, stop):
                    yield from _leaves(now[index], f"{path}[{index}]", "+")
    else:
        yield from _leaves(was, path, "-")
        yield from _leaves(now, path, "+")


def _inner(old: Any, new: Any, key: str, path: str) -> str:
    if isinstance(old, Named) or isinstance(new, Named):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _removed(value: Any, path: str) -> Iterator[str]:
    """Yield a removed value; a removed container takes one line."""
    if isinstance(value, dict) and "image" in value:
        yield f"- {path}: the container of {value['image']}"
    else:
        yield from _leaves(value, path, "-")


def _leaves(value: Any, path: str, sign: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves(value[key], _inner(value, value, key, path), sign)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", sign)
    else:
        yield f"{sign} {path}: {value}" if value not in ({}, []) else f"{sign} {path}"


def describe_action(action: AnyAction) -> str:
    """Return one line that says what happens, where and why."""
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
        case StopTask():
            what = f"stop task {short_id(action.task)}"
        case DeleteService():
            what = f"delete service {action.service} in {action.cluster}"
        case TagService():
            verbs = {ActionPurpose.HOLD: "hold", ActionPurpose.DECLARED_TAGS: "tag"}
            what = f"{verbs.get(action.purpose, 'mark')} service {action.service}"
            if action.purpose not in verbs:
                marks = [f"{key.rpartition(':')[2]} {v}" for key, v in action.set_tags.items()]
                marks += [f"without {key.rpartition(':')[2]}" for key in action.remove_tags]
                what += f": {', '.join(marks)}"
        case RetireRevisions():
            what = f"delete {len(action.arns)} old revisions of {action.family}"
        case SetDesiredCapacity():
            what = f"raise Auto Scaling group {action.group} to {action.desired}"
        case SetInstancesState(claim=False):
            names = ", ".join(resource_name(arn) for arn in action.instances)
            what = f"drain container instance {names}"
        case SetInstancesState():
            what = f"set {len(action.instances)} instances to {action.status}"
        case TerminateInstance():
            what = f"release instance {action.ec2_instance_id}"
        case ChangeMembership():
            whom = f" {action.member:x}" if action.member else ""
            what = f"{action.step.value} etcd member{whom} {action.peer_url}".rstrip()
    return f"{action.component}: {what}: {action.reason}"


def service_diff(service: Service, action: UpdateService) -> list[str]:
    """Return what an update changes of a service's settings, as `content_diff` shows it."""
    old, new = _shown(service.settings, action.settings), _shown(action.settings, action.settings)
    return list(_differences(old, new, old, new, ""))


def _shown(settings: ServiceSettings, changes: ServiceSettings) -> dict[str, Any]:
    """Return the values in ``settings`` of the members that ``changes`` changes, by label."""
    values = ((RULES[name], getattr(settings, name)) for name in changes.members)
    shown = ((rule, rule.absent if value is None else value) for rule, value in values)
    return {r.label: r.show(value) for r, value in shown if r.label and value is not None}


def _revision_diff(observed: ComponentSnapshot, service: Service, action: AnyAction) -> list[str]:
    """Return the changes of the task definition that an action registers or begins to use."""
    current = observed.revisions.get(service.task_definition_arn)
    if current is None:
        return []
    if isinstance(action, RegisterTaskDefinition):
        return content_diff(current.content, action.content)
    if isinstance(action, UpdateService) and action.revision and action.revision.arn:
        arn = action.revision.arn
        target = next((r for r in known_revisions(observed) if r.arn == arn), current)
        return content_diff(current.content, target.content)
    return []


def describe(plan: Plan, snapshot: Snapshot | None = None) -> list[str]:
    """Return a plan as lines: actions with their changes, then shortages, waits and notes.

    The changes of task definitions and services are shown where ``snapshot`` is given.
    """
    lines: list[str] = []
    for action in plan.actions:
        lines.append(describe_action(action))
        observed = snapshot.components.get(action.component) if snapshot else None
        service = known_service(observed) if observed else None
        if observed is None or service is None:
            continue
        changes = _revision_diff(observed, service, action)
        if isinstance(action, UpdateService):
            changes += service_diff(service, action)
        lines += [f"    {line}" for line in changes]
    lines += [f"short: {s.component}: {s.message}" for s in plan.shortages]
    lines += [f"wait: {w.component}: {w.reason}" for w in plan.waits]
    lines += [f"note: {note}" for note in plan.notes]
    return lines
