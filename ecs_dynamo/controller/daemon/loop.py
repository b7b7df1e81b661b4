"""The daemon: one loop a graph, level-triggered; a failing graph backs off and stops no other.

A pass is started by the timer, by a watch on etcd or NATS, or by SIGHUP, which also reads the
files again. SIGTERM lets the action in hand finish and starts no other; the next daemon goes on
from what it finds.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import structlog

from ecs_dynamo.config import Settings
from ecs_dynamo.config.settings import PREFIX
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.leadership.base import Leadership
from ecs_dynamo.controller.leadership.dynamodb import DynamoDbLease
from ecs_dynamo.controller.leadership.etcd import EtcdLease
from ecs_dynamo.controller.reconcile.reconciler import (
    POLL_SECONDS,
    Pass,
    PlanningError,
    Reconciler,
)
from ecs_dynamo.controller.telemetry.events import (
    Event,
    EventRing,
    events_of,
)
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.recorder import Recorder
from ecs_dynamo.controller.telemetry.status import (
    document,
    pass_status,
    timestamp,
)
from ecs_dynamo.controller.triggers.replica_watch import until_news
from ecs_dynamo.controller.triggers.watches import Watches
from ecs_dynamo.model.conditions import (
    Condition,
    ConditionType,
)
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Notice
from ecs_dynamo.planning.observed.endpoints import reachable_endpoints

_log = structlog.get_logger(__name__)

MESSAGE_LENGTH = 500
"""Of an error that is shown; the log has its whole text."""
SETTLE_SECONDS = 0.3
"""News comes in bursts (a task has many keys): one pass answers them all."""


class GraphLoop:
    """One graph's loop. `wake` asks for a pass now."""

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
        self.last_whole_at: float | None = None
        self.failure: Condition | None = None
        """Holds from a pass that raised until one ends with the graph file as it is."""
        self._planned: Graph | None = None
        self._reconciler = reconciler
        self._settings = settings
        self._metrics = metrics
        self._events = events
        directory = settings.record_directory
        self._recorder = Recorder(directory) if directory is not None else None
        self._wake = asyncio.Event()
        self._stopping = False
        self._reload = False
        self._watches = Watches(file.graph.namespace, self.wake, lambda: reconciler.keys.current)
        self._lease = _lease(file.graph, reconciler, settings)
        self.leads = self._lease is None

    @property
    def name(self) -> str:
        return self.file.graph.name

    def wake(self) -> None:
        """Run a pass now."""
        self._wake.set()

    def notice(self, notices: Mapping[str, Notice]) -> None:
        """EC2 told of the end of instances."""
        self._reconciler.notice(notices)

    def reload(self) -> None:
        """Read the files again, and run a pass."""
        self._reload = True
        self.wake()

    def stop(self) -> None:
        """Start no further action."""
        self._stopping = True
        self.wake()

    @property
    def recent(self) -> bool:
        """Whether the last pass that saw everything is recent, and passes do not fail."""
        if not self.leads:
            return True  # It waits, and is ready to take over.
        if self.failure is not None:
            return False
        allowed = 3 * self._settings.resync_seconds + self._settings.observe_timeout_seconds
        return self.last_whole_at is not None and time.monotonic() - self.last_whole_at < allowed

    async def run(self) -> None:
        """Pass after pass until stopped."""
        failures = 0
        keeper = asyncio.create_task(self._keep_lease())
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
            if self._lease is not None:
                await self._lease.release()

    async def _keep_lease(self) -> None:
        """Take and renew the lease for as long as the loop runs. `hold` never raises."""
        lease = self._lease
        if lease is None:
            return
        while True:
            before = (self.leads, lease.token)
            self.leads = await lease.hold()
            self._metrics.lead(self.name, self.leads)
            # Another token: lost and won again meanwhile, and another may have acted.
            if before != (self.leads, lease.token) and (self.leads or before[0]):
                word = "leads" if self.leads else "follows"
                self.note("graph", f"this daemon {word} (token {lease.token})")
                _log.info("leadership changed", leads=self.leads, token=lease.token)
                self._reconciler.forget()
                self.wake()
            await asyncio.sleep(self._settings.lease_seconds / 4)

    def _must_stop(self, token: int) -> bool:
        """Asked before each action of a pass: stopped, or the lead is not the one of its start."""
        return self._stopping or self._seconds_left(token) <= 0

    def _seconds_left(self, token: int) -> float:
        """For how long writes that were decided under ``token`` may still be sent."""
        lease = self._lease
        if lease is None:
            return inf
        return lease.seconds_left if lease.token == token else 0.0

    async def _pass(self) -> bool:
        """One pass; False where it failed or could not see everything. Never raises."""
        try:
            # In a thread: a file system that hangs must hold up neither other graphs nor /healthz.
            if await asyncio.to_thread(self._read_file):
                self._reconciler.graph = self.file.graph
                self.note("graph", "the graph file was read again")
            token = self._lease.token if self._lease is not None else 0
            done = await self._reconciler.run_pass(
                should_stop=partial(self._must_stop, token),
                seconds_left=partial(self._seconds_left, token),
            )
            return await self._passed(done)
        except PlanningError as error:
            # The first cause tells more to whoever mends it; the traceback has it all.
            self._fail("PlanningRaised", str(error))
            good = self._planned
            if good is not None and good != self.file.graph:
                self.file.reject(str(error), good)
                self._reconciler.graph = good
        except Exception as error:
            # The loop owns every failure of its passes: this graph backs off, others go on.
            self._fail("PassRaised", f"{type(error).__name__}: {error}")
        return False

    def _read_file(self) -> bool:
        """Whether the file holds another graph now that can be used."""
        if not self._reload and not self.file.changed():
            return False
        self._reload = False
        return self.file.reload()

    async def _passed(self, done: Pass) -> bool:
        """Tell of a pass that has ended, and follow what it found."""
        before, self.last = self.last, done
        self._planned = self._reconciler.graph
        for event in events_of(before, done):
            self._events.add(event)
            log = _log.warning if event.warning else _log.info
            log(event.message, kind=event.kind, component=event.component)
        for component, problem in (done.problems or {}).items():
            if not before or (before.problems or {}).get(component) != problem:
                _log.warning("signal not measured", component=component, error=problem)
        for problem in done.unknown:
            _log.warning("not observed", what=problem)
        for problem in sorted(set(done.malformed) - set(before.malformed if before else ())):
            _log.warning("answer not usable", what=problem)
        self._metrics.record(done)
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.record, done)
        self._watches.follow(reachable_endpoints(self._reconciler.graph, done.snapshot))
        if self.failure is not None and not self.file.unplannable:
            self.failure = None
            self.note("graph", "passes end again")
        self._metrics.failing(self.name, self.failure is not None)
        whole = not done.failed and not done.unknown
        if whole:
            self.last_whole_at = done.now.monotonic + done.seconds
        return whole

    def _fail(self, reason: str, message: str) -> None:
        """A pass raised: say so, once for each cause."""
        before = self.failure
        since = before.since if before is not None else time.time()
        message = message[:MESSAGE_LENGTH]
        self.failure = Condition(ConditionType.RECONCILE_FAILED, True, reason, message, since)
        self._metrics.failed(self.name)
        self._metrics.failing(self.name, True)
        if before is None or (before.reason, before.message) != (reason, message):
            _log.exception("pass failed")
            self.note("graph", f"pass failed ({reason}): {message}", warning=True)
        else:
            _log.error("pass failed again", reason=reason, error=message)

    def note(self, kind: str, message: str, warning: bool = False) -> None:
        """Keep an event of this graph."""
        self._events.add(Event(time.time(), self.name, kind, None, message, warning))

    async def _pause(self, failures: int) -> None:
        settings = self._settings
        if failures:
            most = min(
                settings.backoff_min_seconds * 2.0 ** min(failures - 1, 30),
                settings.backoff_max_seconds,
            )
            delay = most * (0.5 + random.random() / 2)  # noqa: S311 (jitter, not a secret)
        elif self.last is not None and not self.last.converged:
            delay = POLL_SECONDS
        elif any(component.scaling for component in self.file.graph.components):
            delay = min(settings.signal_seconds, settings.resync_seconds)
        else:
            delay = settings.resync_seconds
        # Pointless while passes fail or another daemon leads.
        watches = self.leads and not failures
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await until_news(self._wake, self._reconciler.any_silent if watches else None)
            if not self._stopping:
                # Events that keep coming must not make an AWS that refuses be asked without end.
                settle = settings.backoff_min_seconds if failures else SETTLE_SECONDS
                await asyncio.sleep(settle)

    def status(self) -> dict[str, Any]:
        """The graph's part of `/status`."""
        found: dict[str, Any] = (
            pass_status(self.file.graph, self.last, self._reconciler.now())
            if self.last
            else {"graph": self.name, "converged": False}
        )
        if (failure := self.failure) is not None:
            told = {**document(failure), "since": timestamp(failure.since)}
            found["converged"] = False
            found["conditions"] = [told, *(found.get("conditions") or [])]
        found["fileError"] = self.file.error
        found["leads"] = self.leads
        found["events"] = [
            {**document(e), "at": timestamp(e.at)} for e in self._events.latest(self.name)
        ]
        return found


def _lease(graph: Graph, reconciler: Reconciler, settings: Settings) -> Leadership | None:
    """The lease that the settings ask for. InputError where the graph has no etcd for it.

    An etcd lock stays where it was when the daemon started: two that differed would both lead.
    """
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    if settings.lease_table is not None:
        table = settings.lease_table
        return DynamoDbLease(reconciler.aws, table, graph.name, holder, settings.lease_seconds)
    if not settings.lease_etcd:
        return None
    if not graph.external_etcd:
        raise InputError(
            Problem(
                f"the graph {graph.name!r} runs its own etcd, which is no judge of who may roll it",
                field=f"{PREFIX}LEASE_ETCD",
                remedy="give infrastructure.etcd.endpoints of an etcd outside of the graph, or use "
                f"{PREFIX}LEASE_TABLE",
            )
        )
    return EtcdLease(
        graph.external_etcd,
        graph.name,
        holder,
        settings.lease_seconds,
        connect=partial(reconciler.keys.open_etcd, graph.security),
    )
