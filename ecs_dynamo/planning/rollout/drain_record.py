"""For how long a rollout protects its old tasks, and the record of which of them drain since when.

A protection is given once, for the rollout's deadline: what the new side may take to become ready,
and what work in hand may take to finish. So a daemon that does not come back holds nothing up
beyond it. ECS keeps one instant per task, the end of its protection, which therefore cannot tell
since when a task drains: that is a tag on the service, from which a fresh daemon goes on.

The tag holds ``@<seconds> <task> <task> @<seconds> <task>``: UTC seconds in base 36, and the ends
of task ids. A value has at most 256 characters (ECS API reference, Tag), so about 30 tasks drain at
once and others wait for their turn. What was recorded before the deployment in force began counts
no longer: those tasks were the old side of another rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ecs_dynamo.model.graph import TAG_DRAINING, Component, Graph
from ecs_dynamo.model.plan import TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.rollout.canary import WAIT_FOR_WORK
from ecs_dynamo.planning.rollout.protection import (
    MAX_MINUTES,
    MIN_MINUTES,
)

RENEW_MINUTES = 5.0
"""A protection with less than this left is renewed while its task is needed."""
KEY_LENGTH = 6
"""Characters of a task id in the record: enough to tell the tasks of one service apart."""
MAX_VALUE_LENGTH = 256
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def rollout_seconds(graph: Graph, component: Component) -> float:
    """The deadline of one step of a rollout: the new side becomes ready and stays so for one
    discovery lease, then old work ends."""
    rollout = component.rollout
    bake = WAIT_FOR_WORK * rollout.canary.bake_seconds if rollout.canary is not None else 0.0
    runtime = graph.runtime
    steps = (rollout.progress_deadline_seconds, runtime.lease_seconds, runtime.drain_seconds)
    return bake + sum(steps)


def whole_minutes(seconds: float) -> int:
    """As `expiresInMinutes`, which UpdateTaskProtection takes from 1 to 2,880."""
    return min(max(math.ceil(seconds / 60.0), MIN_MINUTES), MAX_MINUTES)


def keep_minutes(graph: Graph, component: Component) -> int:
    """For how long an old task is protected from the start of a rollout."""
    return whole_minutes(rollout_seconds(graph, component))


def first_below(graph: Graph, component: Component) -> float:
    """Minutes left below which a rollout that begins protects a task anew."""
    keep = keep_minutes(graph, component)
    return max(keep - 1.0, keep / 2.0)


def renew_below(graph: Graph, component: Component) -> float:
    """Minutes left below which a needed task's protection is renewed: it must outlast the drain."""
    drain = graph.runtime.drain_seconds / 60.0
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
    """Since when each old task drains, by ARN, in UTC seconds; what cannot be read is left out."""
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
    state: ComponentState, since: Mapping[str, float], more: Sequence[Task], now: float
) -> tuple[TagService | None, frozenset[str]]:
    """The record with ``more`` draining from now on, and the ARNs that it holds.

    No action where nothing is new. ``since`` is what stays of the present record.
    """
    made = dict(since)
    for task in more:
        longer = {**made, task.arn: now}
        if len(_value(longer)) > MAX_VALUE_LENGTH:
            break
        made = longer
    if made == draining_since(state):
        return None, frozenset(made)
    added = len(made.keys() - since.keys())
    mark = TagService(
        component=state.component.name,
        reason=f"{added} still work: they may finish within the drain time"
        if added
        else "what was let go is needed again",
        purpose=ActionPurpose.RECORD_DRAIN,
        cluster=state.component.cluster,
        service=state.component.service,
        set_tags={TAG_DRAINING: _value(made)},
    )
    return mark, frozenset(made)
