"""What happened, newest last: a bounded ring of events, made by comparing a pass with the former.

Events are derived, never authoritative: losing them (a restart) loses no decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.snapshot import RECENT_SECONDS, Unknown
from ecs_dynamo.planning import describe_action
from ecs_dynamo.planning.observed.stopped_tasks import (
    recently_stopped,
    why_stopped,
)

RING_SIZE = 500


@dataclass(frozen=True, slots=True)
class Event:
    """``at`` is UTC seconds; ``kind`` one of action, condition, endpoint, exit, scaling, graph."""

    at: float
    graph: str
    kind: str
    component: str | None
    message: str
    warning: bool = False


def events_of(before: Pass | None, after: Pass) -> Iterator[Event]:
    """The events that lie between two passes."""
    at, graph = after.at, after.plan.graph
    for result in after.results:
        if result.changed or not result.ok:
            text = describe_action(result.action)
            yield Event(
                at,
                graph,
                "action",
                result.action.component,
                text if result.ok else f"{text}: {result.error or 'skipped'}",
                not result.ok,
            )
    yield from _exits(before, after)
    for decision in after.plan.decisions:
        if decision.desired != decision.current:
            yield Event(at, graph, "scaling", decision.component, decision.reason)
    old = {(c.type, c.component): c for c in before.plan.conditions} if before else {}
    for condition in after.plan.conditions:
        former = old.get((condition.type, condition.component))
        changed = (
            former is None
            or former.status != condition.status
            or (condition.status and former.reason != condition.reason)
        )
        if changed and (former is not None or condition.status):
            good = condition.type == "Progressing" or condition.status == (
                condition.type == "Ready"
            )
            yield Event(
                at,
                graph,
                "condition",
                condition.component,
                f"{condition.type.value} is {condition.status} ({condition.reason}): "
                f"{condition.message}",
                not good,
            )
    for role in ("etcd", "nats"):
        was = getattr(before.plan.endpoints, role) if before else None
        now = getattr(after.plan.endpoints, role)
        if was != now:
            yield Event(
                at,
                graph,
                "endpoint",
                None,
                f"{role}: {was or 'none'} -> {now or 'none'}",
                now is None,
            )


def _exits(before: Pass | None, after: Pass) -> Iterator[Event]:
    """What replicas ended of since the pass before, at the time that they did."""
    if before is None:
        return
    for name, seen in after.snapshot.components.items():
        former = before.snapshot.components.get(name)
        told = former.stopped if former is not None else ()
        if isinstance(told, Unknown):
            continue
        known = {task.arn for task in told}
        for task in reversed(recently_stopped(seen.stopped)):
            at = task.stopped_at or after.at
            if task.arn not in known and after.at - at < RECENT_SECONDS:
                short, revision = (
                    a.rsplit("/", 1)[-1] for a in (task.arn, task.task_definition_arn)
                )
                text = f"task {short[:8]} ({revision}) ended: {why_stopped(task)}"
                yield Event(at, after.plan.graph, "exit", name, text, warning=True)


class EventRing:
    """The last `RING_SIZE` events."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=RING_SIZE)

    def add(self, event: Event) -> None:
        self._events.append(event)

    def latest(self, graph: str, count: int = 100) -> list[Event]:
        """The newest ``count`` events of ``graph``, oldest first."""
        return [e for e in self._events if e.graph == graph][-count:]
