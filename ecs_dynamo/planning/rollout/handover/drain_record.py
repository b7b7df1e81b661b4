"""How long a rollout protects its old tasks, and the record of which of them drain since when.

A protection is given once, for the deadline of the rollout: the time that the new side may take to
become ready, and the time that pending requests may take to finish. ECS keeps one instant per task,
the end of its protection, which does not show since when a task drains. That is recorded in a tag
on the service, from which a new daemon continues.

The tag contains ``@<seconds> <task> <task> @<seconds> <task>``: UTC seconds in base 36, and the
last characters of task ids. A value has at most 256 characters (ECS API reference, Tag), so about
30 tasks drain at once, and others wait for their turn. Records from before the deployment in force
no longer count: those tasks were the old side of another rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ecs_dynamo.model.graph import TAG_DRAINING, Component, Graph
from ecs_dynamo.model.plan import TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.rollout.canary import MAX_BAKE_TIMES_WITHOUT_WORK
from ecs_dynamo.planning.rollout.protection import whole_minutes
from ecs_dynamo.planning.rollout.service_tags import tag_service

RENEW_MINUTES = 5.0
"""While a task is needed, its protection is renewed when less than this is left."""
KEY_LENGTH = 6
"""Characters of a task id in the record: enough to distinguish the tasks of one service."""
MAX_VALUE_LENGTH = 256
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def rollout_seconds(graph: Graph, component: Component) -> float:
    """Return the deadline of one step of a rollout, in seconds.

    The new side becomes ready and stays so for one discovery lease, then pending requests finish.
    """
    rollout = component.rollout
    bake = (
        MAX_BAKE_TIMES_WITHOUT_WORK * rollout.canary.bake_seconds
        if rollout.canary is not None
        else 0.0
    )
    drain = graph.drain_seconds(component)
    steps = (rollout.progress_deadline_seconds, graph.runtime.lease_seconds, drain)
    return bake + sum(steps)


def keep_minutes(graph: Graph, component: Component) -> int:
    """Return for how many minutes an old task is protected when a rollout begins."""
    return whole_minutes(rollout_seconds(graph, component))


def first_below(graph: Graph, component: Component) -> float:
    """Return the minutes left below which a beginning rollout renews a protection."""
    keep = keep_minutes(graph, component)
    return max(keep - 1.0, keep / 2.0)


def renew_below(graph: Graph, component: Component) -> float:
    """Return the minutes left below which a needed task's protection is renewed.

    It must outlast the drain time.
    """
    drain = graph.drain_seconds(component) / 60.0
    return min(max(RENEW_MINUTES, drain + 1.0), first_below(graph, component))


def _key(arn: str) -> str:
    return arn[-KEY_LENGTH:]


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


def draining_since(state: ComponentState) -> Mapping[str, float]:
    """Return since when each old task drains, by ARN, in UTC seconds; invalid words are ignored."""
    service, primary = state.service, state.primary
    begun = primary.created_at if primary is not None else None
    known: dict[str, float] = {}
    at: float | None = None
    for word in service.tags.get(TAG_DRAINING, "").split() if service is not None else ():
        if word.startswith("@"):
            digits = word[1:]
            fits = 0 < len(digits) <= 8 and all(c in _DIGITS for c in digits)
            at = float(int(digits, 36)) if fits else None
        elif at is not None and at >= math.floor(begun or 0.0):
            known[word] = at
    return {t.arn: known[_key(t.arn)] for t in state.old_tasks if _key(t.arn) in known}


def _value(since: Mapping[str, float]) -> str:
    groups: dict[int, list[str]] = {}
    for arn, at in since.items():
        groups.setdefault(int(at), []).append(_key(arn))
    return " ".join(
        f"@{_base36(at)} {' '.join(sorted(keys))}" for at, keys in sorted(groups.items())
    )


def drain_record(
    state: ComponentState, since: Mapping[str, float], more: Sequence[Task], wall: float
) -> tuple[TagService | None, frozenset[str]]:
    """Return the action that records ``more`` as draining from now on, and the recorded ARNs.

    No action if nothing changes. ``since`` is the part of the current record that stays.
    """
    record = dict(since)
    for task in more:
        longer = {**record, task.arn: wall}
        if len(_value(longer)) > MAX_VALUE_LENGTH:
            break
        record = longer
    if record == draining_since(state):
        return None, frozenset(record)
    added = len(record.keys() - since.keys())
    reason = "released tasks are needed again"
    if added:
        reason = f"{added} tasks still work and may finish within the drain time"
    tags = {TAG_DRAINING: _value(record)}
    return tag_service(state, tags, ActionPurpose.RECORD_DRAIN, reason), frozenset(record)
