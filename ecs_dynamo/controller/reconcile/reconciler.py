"""One pass: observe, plan, act. The daemon repeats it indefinitely, `reconcile` until converged.

The command line, the daemon and the tests share this one path.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.aws.execute.executor import (
    ActionResult,
    Executor,
)
from ecs_dynamo.aws.observe.graph_cache import GraphCache
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
from ecs_dynamo.model.ecs.events import NOTICE_SECONDS, Notice
from ecs_dynamo.model.ecs.secrets import is_secret
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.generations import planner_namespaces
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ChangeMembership, Memory, Plan
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning import describe_action, down, plan
from ecs_dynamo.planning.observed.endpoints import reachable_endpoints
from ecs_dynamo.planning.scaling.dynamo_planner import planner_reached
from ecs_dynamo.signals.base import SignalError
from ecs_dynamo.signals.planner import acknowledge

_log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""Pause between passes while a change is in progress; ECS's states change about this fast."""
POLL_MAX_SECONDS = 10.0
POLL_GROWTH = 1.3
"""Factor by which the pause grows after a pass without actions."""
ACKNOWLEDGE_SECONDS = 3.0
MEMBERSHIP_SECONDS = 5.0


class PlanningError(EcsDynamoError):
    """Planning raised, and nothing was changed. The cause is a bug, for any graph and snapshot."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"planning failed ({type(cause).__name__}: {str(cause)[:300]}); nothing was changed. "
            "This is a bug in ecs-dynamo: report it with this text and the graph file"
        )


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass and its results. ``problems`` has the signals that could not be measured."""

    id: str
    now: Now
    seconds: float
    snapshot: Snapshot
    plan: Plan
    results: tuple[ActionResult, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()
    """Unusable answers of replicas and keys of etcd."""
    known: LastKnown = NOTHING_KNOWN
    """The last complete observation of every component, from this pass or an earlier one."""

    @property
    def at(self) -> float:
        """Time of the start, in UTC seconds."""
        return self.now.wall

    @property
    def failed(self) -> tuple[ActionResult, ...]:
        """Results of the actions that AWS refused."""
        return tuple(r for r in self.results if not r.ok and not r.skipped)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Components that could not be observed, grouped by reason."""
        by_reason: dict[str, list[str]] = {}
        for name, component in self.snapshot.components.items():
            for part in (component.service, component.tasks):
                if isinstance(part, Unknown):
                    by_reason.setdefault(part.reason, []).append(name)
        return tuple(
            f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in by_reason.items()
        )

    @property
    def complete(self) -> bool:
        """Whether everything was observed, and AWS refused no action."""
        return not self.failed and not self.unknown

    @property
    def converged(self) -> bool:
        """Whether the observed graph matches the declared one."""
        return self.plan.converged


def rejections(results: Iterable[ActionResult]) -> Mapping[str, str]:
    """Return AWS's rejections by component; the next pass's plan states them as conditions."""
    return {
        r.action.component: f"{describe_action(r.action)}: {r.error}"
        for r in results
        if r.rejected and r.action.component
    }


class Reconciler:
    """Reconciles one graph. ``clock`` reads both clocks; by default, wall time is AWS's."""

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
        cache = GraphCache(lambda: self._clock().monotonic)
        self.credentials = CredentialReader(aws)
        self._observer = Observer(aws, cache, settings.observe_timeout_seconds, self.credentials)
        self._executor = Executor(aws, graph.name, cache, time.monotonic, self._change_membership)
        self._memory = Memory(started_at=self._clock().monotonic)
        self._known = NOTHING_KNOWN
        self._ids = itertools.count(1)
        self._notices: Mapping[str, Notice] = {}

    async def execute(self, plan: Plan) -> tuple[ActionResult, ...]:
        """Run the actions of a plan from another source."""
        return await self._executor.execute(plan)

    async def _change_membership(self, action: ChangeMembership) -> bool:
        return await change_membership(action, MEMBERSHIP_SECONDS, self.credentials.current.etcd)

    def now(self) -> Now:
        """Return the current time on the clocks of the passes."""
        return self._clock()

    async def any_silent(self) -> bool:
        """Call `Observer.any_silent`."""
        return await self._observer.any_silent()

    def add_notices(self, notices: Mapping[str, Notice]) -> None:
        """Add EC2's notices that instances end, by instance ID; they are kept until they expire."""
        self._notices = {**self._current_notices(self._clock().wall), **notices}

    def reset_memory(self) -> None:
        """Reset the memory, as in a new daemon: another daemon may have acted in between."""
        self._memory = Memory(started_at=self._clock().monotonic)

    async def run_pass(
        self,
        *,
        act: bool = True,
        taking_down: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        seconds_left: SecondsLeft = unlimited,
    ) -> Pass:
        """Run one pass. Without ``act``, nothing is changed and nothing is remembered."""
        started, now = time.monotonic(), self._clock()
        pass_id = f"{self.graph.name}-{int(now.wall)}-{next(self._ids)}"
        with structlog.contextvars.bound_contextvars(graph=self.graph.name, pass_id=pass_id):
            observation = await self._observer.observe(self.graph, now)
            graph = observation.graph or self.graph
            # AWS's first responses carry its time: use it for this pass instead of the machine's
            # clock, which may be wrong.
            now = Now(now.monotonic, self._clock().wall_of(now.monotonic))
            notices = self._current_notices(now.wall)
            snapshot = replace(observation.snapshot, observed_at=now.wall, notices=notices)
            planned = self._plan(graph, snapshot, now, taking_down=taking_down)
            self._known = self._known.after(graph, snapshot, planned, now)
            results: tuple[ActionResult, ...] = ()
            if act:
                if not taking_down:
                    self._memory = planned.memory
                _log_decisions(planned)
                results = await self._executor.execute(planned, should_stop, seconds_left)
                if not taking_down:
                    self._memory = replace(planned.memory, rejected=rejections(results))
                await self._acknowledge_planner(graph, planned, snapshot)
            seconds = time.monotonic() - started
            _log.debug(
                "pass done",
                converged=planned.converged,
                actions=len(planned.actions),
                waits=[f"{w.component}: {w.reason}" for w in planned.waits],
                seconds=round(seconds, 3),
            )
        return Pass(
            id=pass_id,
            now=now,
            seconds=seconds,
            snapshot=snapshot,
            plan=planned,
            results=results,
            problems=observation.problems,
            malformed=observation.malformed,
            known=self._known,
        )

    def _plan(self, graph: Graph, snapshot: Snapshot, now: Now, *, taking_down: bool) -> Plan:
        try:
            if taking_down:
                return down(graph, snapshot)
            return plan(graph, snapshot, self._memory, now)
        except Exception as error:
            raise PlanningError(error) from error

    def _current_notices(self, now: float) -> Mapping[str, Notice]:
        return {id_: n for id_, n in self._notices.items() if now - n.at < NOTICE_SECONDS}

    async def _acknowledge_planner(self, graph: Graph, planned: Plan, snapshot: Snapshot) -> None:
        """Acknowledge a decision of Dynamo's planner once it is carried out."""
        if not planner_reached(graph, snapshot, planned.replicas):
            return
        etcd = reachable_endpoints(graph, snapshot).etcd
        if etcd is None:
            return
        try:
            namespaces = planner_namespaces(graph.namespace, graph.generations)
            decision = await acknowledge(
                etcd, namespaces, ACKNOWLEDGE_SECONDS, self.credentials.current.etcd
            )
        except SignalError as error:
            _log.warning("failed to acknowledge the planner's decision", error=str(error))
            return
        _log.debug("acknowledged the planner's decision", decision=decision)

    async def until_converged(
        self,
        timeout: float,
        on_pass: Callable[[Pass], None] = lambda _: None,
        *,
        taking_down: bool = False,
    ) -> Pass:
        """Run passes until one converges or is stuck, or for ``timeout`` seconds.

        Returns the last pass.
        """
        deadline = time.monotonic() + timeout
        pause = POLL_SECONDS
        while True:
            done = await self.run_pass(taking_down=taking_down)
            on_pass(done)
            left = deadline - time.monotonic()
            if done.converged or done.plan.stuck or left <= 0:
                return done
            pause = POLL_SECONDS if done.results else min(pause * POLL_GROWTH, POLL_MAX_SECONDS)
            if not done.complete:
                pause = min(pause * 2, POLL_MAX_SECONDS)
            await asyncio.sleep(min(pause, left))


def _log_decisions(planned: Plan) -> None:
    for decision in planned.decisions:
        _log.debug(
            "scaling decision",
            component=decision.component,
            current=decision.current,
            desired=decision.desired,
            reason=decision.reason,
        )


def services_needed(graph: Graph, settings: Settings) -> tuple[str, ...]:
    """Return the names of the AWS APIs that passes over ``graph`` call."""
    sources = {s.source for c in graph.components if c.scaling for s in c.scaling.signals}
    secrets = graph.security.references()
    optional = [
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
    return ("ecs", "ec2", *optional)


def aws_options(graph: Graph, settings: Settings, command: str = "") -> AwsOptions:
    """Return how the settings reach AWS. The graph's Region is used if they have none."""
    return AwsOptions(
        endpoint_url=settings.endpoint_url,
        profile=settings.profile,
        region=settings.region or graph.region,
        command=command,
    )


@asynccontextmanager
async def open_reconciler(
    graph: Graph, settings: Settings, command: str = ""
) -> AsyncIterator[Reconciler]:
    """Open a `Reconciler` with AWS clients of its own. ``command`` is that of `AwsOptions`."""
    options = aws_options(graph, settings, command)
    async with open_aws(options, services_needed(graph, settings)) as aws:
        yield Reconciler(graph, aws, settings)
