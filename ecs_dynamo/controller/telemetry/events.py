"""Events for users, derived by comparing each pass with the previous one, in a bounded ring.

No decision depends on events, so a restart may lose them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.snapshot import RECENT_SECONDS, Unknown
from ecs_dynamo.planning import describe_action
from ecs_dynamo.planning.observed.stopped_tasks import (
    recently_stopped,
    why_stopped,
)

RING_SIZE = 500
MAX_SHOWN = 100
"""Number of a graph's newest events that `/status` shows."""


class EventKind(StrEnum):
    """The kind of an event, a key of `/status`."""

    ACTION = "action"
    CONDITION = "condition"
    ENDPOINT = "endpoint"
    EVENTS = "events"
    """A change of the event queue."""
    EXIT = "exit"
    GRAPH = "graph"
    SCALING = "scaling"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a graph's history. ``at`` is UTC seconds; ``component`` None means the graph."""

    at: float
    graph: str
    kind: EventKind
    component: str | None
    message: str
    warning: bool = False


def events_of(before: Pass | None, after: Pass) -> Iterator[Event]:
    """Yield the events between two passes."""
    yield from _actions(after)
    yield from _exits(before, after)
    for decision in after.plan.decisions:
        if decision.desired != decision.current:
            yield Event(
                after.at, after.plan.graph, EventKind.SCALING, decision.component, decision.reason
            )
    yield from _conditions(before, after)
    for role in ("etcd", "nats"):
        previous = getattr(before.plan.endpoints, role) if before else None
        current = getattr(after.plan.endpoints, role)
        if previous != current:
            text = f"{role}: {previous or 'none'} -> {current or 'none'}"
            yield Event(
                after.at, after.plan.graph, EventKind.ENDPOINT, None, text, warning=current is None
            )


def _actions(after: Pass) -> Iterator[Event]:
    for result in after.results:
        if result.changed or not result.ok:
            text = describe_action(result.action)
            yield Event(
                after.at,
                after.plan.graph,
                EventKind.ACTION,
                result.action.component,
                text if result.ok else f"{text}: {result.error or 'skipped'}",
                warning=not result.ok,
            )


def _conditions(before: Pass | None, after: Pass) -> Iterator[Event]:
    known = {(c.type, c.component): c for c in before.plan.conditions} if before else {}
    for condition in after.plan.conditions:
        previous = known.get((condition.type, condition.component))
        changed = (
            previous is None
            or previous.status != condition.status
            or (condition.status and previous.reason != condition.reason)
        )
        # The first false value of a condition is not news.
        if changed and (previous is not None or condition.status):
            is_good = condition.type is ConditionType.PROGRESSING or condition.status == (
                condition.type is ConditionType.READY
            )
            yield Event(
                after.at,
                after.plan.graph,
                EventKind.CONDITION,
                condition.component,
                f"{condition.type.value} is {condition.status} ({condition.reason}): "
                f"{condition.message}",
                warning=not is_good,
            )


def _exits(before: Pass | None, after: Pass) -> Iterator[Event]:
    """Yield why tasks stopped since the previous pass, at the time that they stopped."""
    if before is None:
        return
    for name, component in after.snapshot.components.items():
        previous = before.snapshot.components.get(name)
        reported = previous.stopped if previous is not None else ()
        if isinstance(reported, Unknown):
            continue
        known = {task.arn for task in reported}
        for task in reversed(recently_stopped(component.stopped)):
            at = task.stopped_at or after.at
            if task.arn not in known and after.at - at < RECENT_SECONDS:
                task_id, revision = (
                    resource_name(arn) for arn in (task.arn, task.task_definition_arn)
                )
                text = f"task {task_id[:8]} ({revision}) ended: {why_stopped(task)}"
                yield Event(at, after.plan.graph, EventKind.EXIT, name, text, warning=True)


class EventRing:
    """The last `RING_SIZE` events of all graphs."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=RING_SIZE)

    def add(self, event: Event) -> None:
        """Add an event, which may push out the oldest one."""
        self._events.append(event)

    def latest(self, graph: str) -> list[Event]:
        """Return the newest `MAX_SHOWN` events of ``graph``, oldest first."""
        return [e for e in self._events if e.graph == graph][-MAX_SHOWN:]
