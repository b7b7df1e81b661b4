"""The pass: observe, plan, act. The daemon repeats it for ever, `reconcile` until converged.

Command line, daemon and tests share this one path, so what a test proves of it holds for all.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.aws.execute.executor import (
    ActionResult,
    Executor,
)
from ecs_dynamo.aws.observe.cache import RevisionCache
from ecs_dynamo.aws.write_guard import SecondsLeft, unlimited
from ecs_dynamo.config import Settings
from ecs_dynamo.controller.reconcile.credentials import CredentialReader
from ecs_dynamo.controller.reconcile.last_known import (
    NOTHING_KNOWN,
    LastKnown,
)
from ecs_dynamo.controller.reconcile.observer import Observer
from ecs_dynamo.discovery.etcd_members import change_membership
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.ecs.events import NOTICE_SECONDS
from ecs_dynamo.model.ecs.secrets import is_secret
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ChangeMembership, Memory, Plan
from ecs_dynamo.model.snapshot import Notice, Snapshot, Unknown
from ecs_dynamo.planning import describe_action, down, plan
from ecs_dynamo.planning.observed.endpoints import reachable_endpoints
from ecs_dynamo.planning.scaling.dynamo_planner import planner_reached
from ecs_dynamo.signals.base import SignalError
from ecs_dynamo.signals.planner import acknowledge

_log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""Pause between passes while something is under way; ECS's own states change about this fast."""
POLL_MAX_SECONDS = 10.0
ACKNOWLEDGE_SECONDS = 3.0
MEMBERSHIP_SECONDS = 5.0


class PlanningError(EcsDynamoError):
    """Planning raised: nothing was changed. Its cause is a bug, whatever the graph or AWS hold."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"planning failed ({type(cause).__name__}: {str(cause)[:300]}); nothing was changed. "
            "This is a bug in ecs-dynamo: report it with this text and the graph file"
        )


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass and its outcome. ``problems`` tells of signals that could not be measured."""

    id: str
    now: Now
    seconds: float
    snapshot: Snapshot
    plan: Plan
    results: tuple[ActionResult, ...] = ()
    problems: Mapping[str, str] | None = None
    malformed: tuple[str, ...] = ()
    """Answers of replicas, and keys of etcd, that cannot be used."""
    known: LastKnown = NOTHING_KNOWN
    """What is known of the graph, of now or of before."""

    @property
    def at(self) -> float:
        """When it began, in UTC seconds."""
        return self.now.wall

    @property
    def failed(self) -> tuple[ActionResult, ...]:
        """Actions that AWS refused."""
        return tuple(r for r in self.results if not r.ok and not r.skipped)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be observed, and why."""
        by_reason: dict[str, list[str]] = {}
        for name, seen in self.snapshot.components.items():
            for part in (seen.service, seen.tasks):
                if isinstance(part, Unknown):
                    by_reason.setdefault(part.reason, []).append(name)
        return tuple(
            f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in by_reason.items()
        )

    @property
    def converged(self) -> bool:
        return self.plan.converged


def rejections(results: Iterable[ActionResult]) -> Mapping[str, str]:
    """What AWS rejected, by component: the plan of the next pass states it as a condition."""
    return {
        r.action.component: f"{describe_action(r.action)}: {r.error}"
        for r in results
        if r.rejected and r.action.component
    }


class Reconciler:
    """Reconciles one graph. ``clock`` reads both clocks; by default the wall clock is AWS's."""

    def __init__(
        self,
        graph: Graph,
        aws: Aws,
        settings: Settings,
        clock: Callable[[], Now] | None = None,
    ) -> None:
        self.graph = graph
        self.aws = aws
        self._clock = clock or aws.clock.now
        cache = RevisionCache(lambda: self._clock().monotonic)
        self.credentials = CredentialReader(aws)
        self._observer = Observer(aws, cache, settings.observe_timeout_seconds, self.credentials)
        self._executor = Executor(aws, graph.name, cache, time.monotonic, self._change_membership)
        self._memory = Memory(started_at=self._clock().monotonic)
        self._known = NOTHING_KNOWN
        self._ids = itertools.count(1)
        self._notices: Mapping[str, Notice] = {}

    async def execute(self, made: Plan) -> tuple[ActionResult, ...]:
        """Run the actions of a plan that was made elsewhere."""
        return await self._executor.execute(made)

    async def _change_membership(self, action: ChangeMembership) -> bool:
        return await change_membership(action, MEMBERSHIP_SECONDS, self.credentials.current.etcd)

    def now(self) -> Now:
        """The present moment on the clocks of the passes."""
        return self._clock()

    async def any_silent(self) -> bool:
        """As `Observer.any_silent`."""
        return await self._observer.any_silent()

    def notice(self, notices: Mapping[str, Notice]) -> None:
        """EC2 told of the end of instances: kept while it matters, by instance id."""
        self._notices = {**self._current_notices(self._clock().wall), **notices}

    def forget(self) -> None:
        """Begin anew, as a fresh daemon does: another may have acted meanwhile."""
        self._memory = Memory(started_at=self._clock().monotonic)

    async def run_pass(
        self,
        *,
        act: bool = True,
        taking_down: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        seconds_left: SecondsLeft = unlimited,
    ) -> Pass:
        """One pass. With ``act`` False nothing is changed, and nothing is remembered."""
        started, now = time.monotonic(), self._clock()
        name = f"{self.graph.name}-{int(now.wall)}-{next(self._ids)}"
        with structlog.contextvars.bound_contextvars(graph=self.graph.name, pass_id=name):
            observation = await self._observer.observe(self.graph, now)
            # AWS's first responses carry its time: use it for this pass instead of the machine's
            # clock, which may be wrong.
            now = Now(now.monotonic, self._clock().wall_of(now.monotonic))
            seen = replace(observation.snapshot, observed_at=now.wall)
            snapshot = replace(seen, notices=self._current_notices(now.wall))
            try:
                made = (
                    down(self.graph, snapshot)
                    if taking_down
                    else plan(self.graph, snapshot, self._memory, now)
                )
            except Exception as error:
                raise PlanningError(error) from error
            self._known = self._known.after(self.graph, snapshot, made, now)
            results: tuple[ActionResult, ...] = ()
            if act:
                if not taking_down:
                    self._memory = made.memory
                for decision in made.decisions:
                    _log.debug(
                        "scaling decision",
                        component=decision.component,
                        current=decision.current,
                        desired=decision.desired,
                        reason=decision.reason,
                    )
                results = await self._executor.execute(made, should_stop, seconds_left)
                if not taking_down:
                    self._memory = replace(made.memory, rejected=rejections(results))
                await self._tell_planner(made, snapshot)
            seconds = time.monotonic() - started
            _log.debug(
                "pass done",
                converged=made.converged,
                actions=len(made.actions),
                waits=[f"{w.component}: {w.reason}" for w in made.waits],
                seconds=round(seconds, 3),
            )
        return Pass(
            name,
            now,
            seconds,
            snapshot,
            made,
            results,
            observation.problems,
            observation.malformed,
            self._known,
        )

    def _current_notices(self, now: float) -> Mapping[str, Notice]:
        return {k: n for k, n in self._notices.items() if now - n.at < NOTICE_SECONDS}

    async def _tell_planner(self, made: Plan, snapshot: Snapshot) -> None:
        """Acknowledge a decision of Dynamo's planner that is carried out."""
        if not planner_reached(self.graph, snapshot, made.replicas):
            return
        etcd = reachable_endpoints(self.graph, snapshot).etcd
        if etcd is None:
            return
        try:
            decision = await acknowledge(
                etcd, self.graph.namespace, ACKNOWLEDGE_SECONDS, self.credentials.current.etcd
            )
        except SignalError as error:
            _log.warning("planner not told", error=str(error))
            return
        _log.debug("planner told", decision=decision)

    async def until_converged(
        self,
        timeout: float,
        on_pass: Callable[[Pass], None] = lambda _: None,
        *,
        taking_down: bool = False,
    ) -> Pass:
        """Passes until one has nothing left to do, is stuck, or ``timeout`` seconds are over."""
        deadline = time.monotonic() + timeout
        pause = POLL_SECONDS
        while True:
            done = await self.run_pass(taking_down=taking_down)
            on_pass(done)
            left = deadline - time.monotonic()
            if done.converged or done.plan.stuck or left <= 0:
                return done
            pause = POLL_SECONDS if done.results else min(pause * 1.3, POLL_MAX_SECONDS)
            if done.failed or done.unknown:
                pause = min(pause * 2, POLL_MAX_SECONDS)
            await asyncio.sleep(min(pause, left))


def services_needed(graph: Graph, settings: Settings) -> tuple[str, ...]:
    """The AWS APIs that passes over ``graph`` call."""
    sources = {s.source for c in graph.components if c.scaling for s in c.scaling.signals}
    secrets = graph.security.references()
    more = [
        name
        for name, used in (
            ("cloudwatch", "cloudwatch" in sources),
            ("dynamodb", settings.lease_table is not None),
            ("secretsmanager", any(is_secret(r) for r in secrets)),
            ("ssm", not all(is_secret(r) for r in secrets)),
            ("autoscaling", bool(graph.capacity.auto_scaling_groups)),
        )
        if used
    ]
    return ("ecs", "ec2", *more)


@asynccontextmanager
async def open_reconciler(
    graph: Graph, settings: Settings, command: str = ""
) -> AsyncIterator[Reconciler]:
    """A `Reconciler` with its own clients, closed at the end. ``command``: as in `AwsOptions`."""
    options = AwsOptions(
        endpoint_url=settings.endpoint_url,
        profile=settings.profile,
        region=settings.region or graph.region,
        command=command,
    )
    async with open_aws(options, services_needed(graph, settings)) as aws:
        yield Reconciler(graph, aws, settings)
