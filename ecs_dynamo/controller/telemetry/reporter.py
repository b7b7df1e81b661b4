"""Reports of one graph's passes: events for users, log lines, metrics and the demand recording."""

from __future__ import annotations

import asyncio
import time

import structlog

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.telemetry.events import Event, EventKind, EventRing, events_of
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.recorder import Recorder
from ecs_dynamo.model.conditions import Condition

_log = structlog.get_logger(__name__)


class PassReporter:
    """Reports the passes of one graph."""

    def __init__(
        self, graph: str, metrics: Metrics, events: EventRing, recorder: Recorder | None = None
    ) -> None:
        self._graph = graph
        self._metrics = metrics
        self._events = events
        self._recorder = recorder
        self._migrated = 0.0
        """Requests that were moved to another worker since the graph was last converged."""

    def note(
        self, message: str, kind: EventKind = EventKind.GRAPH, *, warning: bool = False
    ) -> None:
        """Add an event that concerns the whole graph."""
        self._events.add(Event(time.time(), self._graph, kind, None, message, warning=warning))

    def report_leadership(self, *, leads: bool) -> None:
        """Report whether this daemon leads."""
        self._metrics.set_leads(self._graph, leads=leads)

    async def report_pass(self, before: Pass | None, done: Pass) -> None:
        """Report a completed pass, with the differences from the pass ``before`` it."""
        for event in events_of(before, done):
            self._events.add(event)
            # The texts of events are written for users, so the log shows them as they are.
            log = _log.warning if event.warning else _log.info
            log(event.message, kind=event.kind.value, component=event.component)
        for component, problem in done.problems.items():
            if not before or before.problems.get(component) != problem:
                _log.warning("signal not available", component=component, error=problem)
        for problem in done.unknown:
            _log.warning("observation failed", problem=problem)
        for problem in sorted(set(done.malformed) - set(before.malformed if before else ())):
            _log.warning("malformed answer", problem=problem)
        self._report_migrations(done)
        self._metrics.record(done)
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.record, done)

    def _report_migrations(self, done: Pass) -> None:
        """Report how many requests a rollout or another change has moved, once it has ended."""
        moved = done.snapshot.migrations
        self._migrated += moved.get("new_request", 0.0) + moved.get("ongoing_request", 0.0)
        if done.converged:
            if self._migrated:
                self.note(f"{self._migrated:.0f} requests were moved to another worker")
            self._migrated = 0.0

    def report_recovery(self) -> None:
        """Report that passes complete again."""
        self.note("passes complete again")

    def report_condition(self, *, failing: bool) -> None:
        """Set the condition ReconcileFailed in the metrics."""
        self._metrics.set_failing(self._graph, failing=failing)

    def report_failure(self, before: Condition | None, failure: Condition) -> None:
        """Report a pass that raised, in detail only when its cause is new.

        To be called while the exception is handled: its traceback is logged.
        """
        self._metrics.count_failed_pass(self._graph)
        self.report_condition(failing=True)
        if before is None or (before.reason, before.message) != (failure.reason, failure.message):
            _log.exception("pass failed")
            self.note(f"pass failed ({failure.reason}): {failure.message}", warning=True)
        else:
            _log.error("pass failed again", reason=failure.reason, error=failure.message)
