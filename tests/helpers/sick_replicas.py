"""A simulated graph whose replicas hang, lose their registration, or are not observed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    Registration,
    WorkerPage,
)
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Memory, Plan, StopTask
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.model.spec.graph import RuntimeSpec
from ecs_dynamo.planning import plan
from tests.helpers.facts import degraded
from tests.helpers.graphs import graph
from tests.helpers.simulated_ecs import SimulatedEcs
from tests.helpers.simulated_services import SimTask, lease_of

STEP = 5.0


@dataclass
class Ward:
    """A graph with ``decode`` workers under one daemon, and the faults of its replicas.

    ``hung``: task ARN -> when it last answered. ``dropped``: discovery has no registration of them.
    ``cut_off``: their hosts accept no connection from the daemon. ``busy``: pending requests, as
    frontends report. ``etcd`` False: discovery cannot be read. ``unobserved``: components with
    unknown tasks.
    """

    decode: int = 2
    runtime: RuntimeSpec = field(default_factory=RuntimeSpec)
    spare: int = 2
    hung: dict[str, float] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    cut_off: set[str] = field(default_factory=set)
    busy: dict[str, float] = field(default_factory=dict)
    etcd: bool = True
    unobserved: set[str] = field(default_factory=set)
    plans: list[Plan] = field(default_factory=list)
    stopped: list[tuple[float, StopTask]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph: Graph = replace(graph(decode=self.decode, frontends=2), runtime=self.runtime)
        self.ecs = SimulatedEcs(self.graph, gpu_instances=1 + self.decode + self.spare)
        self.memory = Memory(started_at=self.ecs.now)
        for _ in range(60):
            if self.pass_().converged:
                break
        else:
            raise AssertionError(self.plans[-1].waits)
        self.plans.clear()

    @property
    def now(self) -> float:
        return self.ecs.now

    def tasks(self, component: str = "decode") -> list[SimTask]:
        return next(s for s in self.ecs.services.values() if s.component == component).tasks

    def arn(self, number: int = 0, component: str = "decode") -> str:
        return self.tasks(component)[number].arn

    def hang(self, number: int = 0, component: str = "decode") -> str:
        """Let a replica stop answering; return its ARN."""
        arn = self.arn(number, component)
        self.hung.setdefault(arn, self.now)
        return arn

    def observe(self) -> Snapshot:
        """Return the snapshot with the faults."""
        observed = self.ecs.snapshot()
        by_ip = {t.ip: t.arn for s in self.ecs.services.values() for t in s.tasks}
        pages: dict[str, WorkerPage | NoAnswer] = {}
        for url, page in observed.pages.items():
            arn = by_ip[url.split("/")[2].split(":")[0]]
            if arn in self.hung and isinstance(page, WorkerPage):
                seconds = self.now - self.hung[arn]
                reached = arn not in self.cut_off
                page = NoAnswer(f"{url}: no answer", seconds, page, reached=reached)
            pages[url] = page
        registrations: tuple[Registration, ...] | Unknown = Unknown("etcd does not answer")
        if self.etcd and not isinstance(observed.registrations, Unknown):
            lost = {lease_of(arn) for arn in self.dropped}
            registrations = tuple(r for r in observed.registrations if r.lease_id not in lost)
        components = dict(observed.components)
        for name, component in components.items():
            probes = {}
            for (arn, role), probe in component.probes.items():
                if arn in self.hung and role is Role.FRONTEND:
                    away = arn in self.cut_off
                    probe = replace(probe, healthy=False, unreachable=away, silent=not away)
                probes[arn, role] = probe
            tasks = Unknown("throttled") if name in self.unobserved else component.tasks
            components[name] = replace(component, probes=probes, tasks=tasks)
        return replace(
            observed,
            pages=pages,
            registrations=registrations,
            components=components,
            busy={lease_of(arn): work for arn, work in self.busy.items()},
        )

    def pass_(self, seconds: float = STEP) -> Plan:
        """Observe, plan, act, and advance the time."""
        result = plan(self.graph, self.observe(), self.memory, self.ecs.clock)
        self.memory = result.memory
        self.plans.append(result)
        self.stopped += [(self.now, a) for a in result.actions if isinstance(a, StopTask)]
        self.ecs.execute(result.actions)
        self.ecs.step(seconds)
        return result

    def passes(self, seconds: float) -> Plan:
        """Run passes for this time; return the last plan."""
        end = self.now + seconds
        while self.now < end:
            result = self.pass_()
        return result

    def stops(self) -> list[str]:
        """Return the ARNs of the stopped tasks, in order."""
        return [a.task for _, a in self.stopped]


def running(snapshot: Snapshot, component: str) -> tuple[Task, ...]:
    """The component's tasks that are known to run."""
    tasks: Any = snapshot.components[component].tasks
    return () if isinstance(tasks, Unknown) else tuple(t for t in tasks if t.is_running)


def first(ward: Ward, reason: str, component: str | None, within: float) -> float:
    """Return after how many seconds the condition reports the reason."""
    began = ward.now
    while True:
        at = ward.now
        if degraded(ward.pass_(), component) == reason:
            return at - began
        assert ward.now - began <= within, ward.plans[-1].conditions
