"""The loop of one graph: level-triggered passes with back-off, independent of other graphs.

A pass is started by the timer, by a watch on etcd or NATS, by an ECS event, or by SIGHUP, which
also reads the files again. On SIGTERM the current action completes and no other starts; the next
daemon continues from the state that it observes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any

import structlog

from ecs_dynamo.config import Settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.pacing import pause_seconds
from ecs_dynamo.controller.leadership.keeper import LeaseKeeper, open_lease
from ecs_dynamo.controller.reconcile.reconciler import (
    Pass,
    PlanningError,
    Reconciler,
)
from ecs_dynamo.controller.telemetry.events import EventKind, EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.recorder import Recorder
from ecs_dynamo.controller.telemetry.reporter import PassReporter
from ecs_dynamo.controller.telemetry.status import (
    document,
    pass_status,
    timestamp,
)
from ecs_dynamo.controller.triggers.replica_watch import until_news
from ecs_dynamo.controller.triggers.watches import Watches
from ecs_dynamo.model.conditions import Condition, ConditionType
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.planning.observed.endpoints import reachable_endpoints

MESSAGE_LENGTH = 500
"""Maximum length of a displayed error, in characters; the log has all of it."""
SETTLE_SECONDS = 0.3
"""Pause after a trigger. Events arrive in bursts (a task has many keys): one pass handles all."""


class FailureReason(StrEnum):
    """Reason words of the condition ReconcileFailed."""

    PLANNING_RAISED = "PlanningRaised"
    PASS_RAISED = "PassRaised"  # noqa: S105 (a pass is not a password)


class GraphLoop:
    """Runs the passes of one graph. `wake` requests a pass now."""

    def __init__(
        self,
        file: GraphFile,
        reconciler: Reconciler,
        settings: Settings,
        metrics: Metrics,
        events: EventRing,
    ) -> None:
        self.file = file
        self.last: Pass | None = None
        self.last_complete_at: float | None = None
        """End of the last pass that succeeded completely, on the monotonic clock."""
        self.failure: Condition | None = None
        """Set from a pass that raised until a pass completes with the current graph file."""
        self._last_planned: Graph | None = None
        self._reconciler = reconciler
        self._settings = settings
        self._events = events
        directory = settings.record_directory
        recorder = Recorder(directory) if directory is not None else None
        self._reporter = PassReporter(file.graph.name, metrics, events, recorder)
        self._wake = asyncio.Event()
        self._stopping = False
        self._must_reload = False
        self._watches = Watches(
            file.graph.namespace, self.wake, lambda: reconciler.credentials.current
        )
        self._lease = LeaseKeeper(
            open_lease(file.graph, reconciler, settings),
            settings.lease_seconds / 4,
            lambda: self._reporter.report_leadership(leads=self.leads),
            self._on_leadership_change,
        )

    @property
    def name(self) -> str:
        """Name of the graph."""
        return self.file.graph.name

    @property
    def leads(self) -> bool:
        """Whether this daemon is the leader for the graph."""
        return self._lease.leads

    def wake(self) -> None:
        """Request a pass now."""
        self._wake.set()

    def add_notices(self, notices: Mapping[str, Notice]) -> None:
        """Pass on EC2's notices that instances end, by instance ID."""
        self._reconciler.add_notices(notices)

    def note_event_queue(self, problem: str | None) -> None:
        """Add an event: the event queue fails with ``problem``, or works again (None)."""
        text = f"failed to read ECS events: {problem}" if problem else "ECS events are read"
        self._reporter.note(text, EventKind.EVENTS, warning=problem is not None)

    def reload(self) -> None:
        """Request that the files are read again, and a pass."""
        self._must_reload = True
        self.wake()

    def stop(self) -> None:
        """Stop after the current action."""
        self._stopping = True
        self.wake()

    @property
    def is_fresh(self) -> bool:
        """Whether passes succeed and the last complete one is recent; True for a follower."""
        if not self.leads:
            return True  # A follower is ready to take over.
        if self.failure is not None:
            return False
        max_age = 3 * self._settings.resync_seconds + self._settings.observe_timeout_seconds
        at = self.last_complete_at
        return at is not None and time.monotonic() - at < max_age

    async def run(self) -> None:
        """Run passes until stopped."""
        failures = 0
        keeper = asyncio.create_task(self._lease.run())
        try:
            with structlog.contextvars.bound_contextvars(graph=self.name):
                while not self._stopping:
                    self._wake.clear()
                    if self.leads:
                        failures = 0 if await self._pass() else failures + 1
                    await self._pause(failures)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await self._watches.close()
            await self._lease.release()

    def _on_leadership_change(self) -> None:
        role = "leads" if self.leads else "follows"
        self._reporter.note(f"this daemon {role} (token {self._lease.token})")
        self._reconciler.reset_memory()
        self.wake()

    def _must_stop(self, token: int) -> bool:
        """Whether a pass that started under ``token`` must start no further action."""
        return self._stopping or self._lease.seconds_left(token) <= 0

    async def _pass(self) -> bool:
        """Run one pass and return whether it succeeded completely. Never raises."""
        try:
            # In a thread: a file system that hangs must block neither other graphs nor /healthz.
            if await asyncio.to_thread(self._reload_file):
                self._reconciler.graph = self.file.graph
                self._reporter.note("the graph file was reloaded")
            token = self._lease.token
            done = await self._reconciler.run_pass(
                should_stop=partial(self._must_stop, token),
                seconds_left=partial(self._lease.seconds_left, token),
            )
            return await self._complete(done)
        except PlanningError as error:
            # The first cause is the most helpful one for a fix. The traceback contains all of them.
            self._fail(FailureReason.PLANNING_RAISED, str(error))
            good = self._last_planned
            if good is not None and good != self.file.graph:
                self.file.reject(str(error), good)
                self._reconciler.graph = good
        except Exception as error:
            # A failure stays within its graph, which backs off while the others continue.
            self._fail(FailureReason.PASS_RAISED, f"{type(error).__name__}: {error}")
        return False

    def _reload_file(self) -> bool:
        """Reload the graph file if it changed. Returns whether there is a new valid graph."""
        if not self._must_reload and not self.file.changed():
            return False
        self._must_reload = False
        return self.file.reload()

    async def _complete(self, done: Pass) -> bool:
        """Report a pass and follow its endpoints. Returns whether it succeeded completely."""
        before, self.last = self.last, done
        self._last_planned = self._reconciler.graph
        await self._reporter.report_pass(before, done)
        self._watches.follow(reachable_endpoints(self._reconciler.graph, done.snapshot))
        if self.failure is not None and not self.file.unplannable:
            self.failure = None
            self._reporter.report_recovery()
        self._reporter.report_condition(failing=self.failure is not None)
        if done.complete:
            self.last_complete_at = done.now.monotonic + done.seconds
        return done.complete

    def _fail(self, reason: FailureReason, message: str) -> None:
        """Set the condition ReconcileFailed, and report the exception that is being handled."""
        before = self.failure
        since = before.since if before is not None else time.time()
        message = message[:MESSAGE_LENGTH]
        self.failure = Condition(
            ConditionType.RECONCILE_FAILED, status=True, reason=reason, message=message, since=since
        )
        self._reporter.report_failure(before, self.failure)

    async def _pause(self, failures: int) -> None:
        settings = self._settings
        delay = pause_seconds(
            settings,
            failures,
            converged=self.last is None or self.last.converged,
            has_scaling=any(component.scaling for component in self.file.graph.components),
            jitter=random.random(),  # noqa: S311 (not a secret)
        )
        # Probing between passes is pointless while passes fail or another daemon leads.
        probes = self.leads and not failures
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await until_news(self._wake, self._reconciler.any_silent if probes else None)
            if not self._stopping:
                # A stream of events must not cause incessant requests to an AWS that refuses them.
                settle = settings.backoff_min_seconds if failures else SETTLE_SECONDS
                await asyncio.sleep(settle)

    def status(self) -> dict[str, Any]:
        """Return the graph's part of `/status`."""
        status: dict[str, Any] = (
            pass_status(self.file.graph, self.last, self._reconciler.now())
            if self.last
            else {"graph": self.name, "converged": False}
        )
        if (failure := self.failure) is not None:
            condition = {**document(failure), "since": timestamp(failure.since)}
            status["converged"] = False
            status["conditions"] = [condition, *(status.get("conditions") or [])]
        status["fileError"] = self.file.error
        status["leads"] = self.leads
        status["events"] = [
            {**document(e), "at": timestamp(e.at)} for e in self._events.latest(self.name)
        ]
        return status
