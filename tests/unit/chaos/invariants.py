"""The invariants of docs/design.md, checked against the simulation's true state.

Each violation is an AssertionError that says what happened. Some invariants are checked at the
moment when ECS does something (`Watch`, at each write and at each task that ends), others between
two steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.aws.observe.recall import CONFIRM_SECONDS
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.graph import TAG_GRAPH, Component, Graph
from ecs_dynamo.model.plan import (
    CreateService,
    DeleteService,
    ProtectTasks,
    RetireRevisions,
    UpdateService,
    is_hold,
)
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.planning.healing.replacement import FIRST_PAUSE_SECONDS
from tests.unit.chaos.simulated_account import FOREIGN, SimulatedAccount
from tests.unit.planning.simulated_ecs import SimService, SimTask

Json = dict[str, Any]
ABSENT_SECONDS = 300.0
"""After this time without an observation, the daemon is not responsible for actions of ECS."""
REVISIONS = {"DeregisterTaskDefinition": "taskDefinition", "DeleteTaskDefinitions": ""}


@dataclass
class Served:
    """The times since when a replica has served and has had work, in UTC seconds."""

    since: float
    busy_since: float | None = None


class Watch:
    """Checks the events of one account. ``wanted`` returns the declared graph."""

    def __init__(self, ecs: SimulatedAccount, wanted: Callable[[], Graph]) -> None:
        self.ecs = ecs
        self.wanted = wanted
        self.writes_allowed = True
        self.by_ours = True
        """Whether the current action of ECS follows from the daemon's writes only."""
        self.looked_at = ecs.now
        """Time at which the last complete pass ended."""
        self.seen_services: dict[str, float] = {}
        """Times at which the daemon's current process last observed each service correctly."""
        self.stopped_at: dict[str, float] = {}
        """Times at which the daemon's current process last stopped a task of a service."""
        self.busy_since: dict[str, float] = {}
        """Times since when tasks have had work, whether they serve or not."""
        self.violations: list[str] = []
        self.serving: dict[str, Served] = {}
        self.cramped_at: dict[str, float] = {}
        self.changed_at: dict[str, float] = {}
        """Times at which the daemon last changed a service's revision, network or count."""
        self.foreign = {name: repr(ecs.services[name].tags) for name in FOREIGN}
        ecs.on_end = self.task_ended

    def fail(self, text: str) -> None:
        """Record a violation for `check`: here the daemon's own error handling would catch it."""
        self.violations.append(text)

    # At each write ------------------------------------------------------------------------------

    def before_write(self, operation: str, asked: Json) -> None:
        if not self.writes_allowed:
            self.fail(f"{operation} although the lease is lost (invariant 6)")
        self._check_owner(operation, asked)
        if operation == "StopTask":
            self._check_stop(asked["task"])
        if operation == "CreateService":
            self._check_creation(asked["serviceName"])
        declared = {c.service for c in self.wanted().components}
        if operation == "DeleteService" and asked["service"] in declared:
            self.fail(f"{asked['service']} is deleted although it is declared")
        if operation == "UpdateService":
            self._check_update(asked)

    def _owned(self, arn: str) -> bool:
        name = arn.rpartition("/")[2]
        if arn in self.ecs.revisions:
            return self.ecs.revisions[arn].tags.get(TAG_GRAPH) == self.wanted().name
        service = self.ecs.services.get(name)
        return service is None or service.tags.get(TAG_GRAPH) == self.wanted().name

    def _check_owner(self, operation: str, asked: Json) -> None:
        named = [asked.get("service"), asked.get("resourceArn")]
        if operation == "DeregisterTaskDefinition":
            named.append(asked["taskDefinition"])
        if operation == "DeleteTaskDefinitions":
            named += asked["taskDefinitions"]
        tasks = {*asked.get("tasks", ()), asked.get("task")}
        every = self.ecs.services.values()
        named += [s.name for s in every for t in s.tasks if t.arn in tasks]
        for one in named:
            if one is not None and not self._owned(str(one)):
                self.fail(f"{operation} of {one}, which is not the graph's (invariant 10)")
        used = {d.revision for s in self.ecs.services.values() for d in s.deployments}
        used |= {t.revision for s in self.ecs.services.values() for t in s.tasks}
        if operation in REVISIONS and used & set(map(str, filter(None, named))):
            self.fail(f"{operation} of a revision in use: {used & set(map(str, named))}")

    def _check_stop(self, arn: str) -> None:
        """StopTask is allowed for workers that hang or have no registration, one at a time."""
        found = ((s, t) for s in self.ecs.services.values() for t in s.tasks if t.arn == arn)
        service, task = next(found, (None, None))
        if service is None or task is None:
            return  # It has just ended.
        told = f"{arn} of {service.name} was stopped"
        hangs = arn in self.ecs.hung
        if not hangs and self.ecs.is_serving(service, task):
            self.fail(f"{told} and serves (invariant 5)")
        busy = self.busy_since.get(arn, math.inf) < self.looked_at - 20.0
        answers = not hangs and arn not in self.ecs.unheard
        lost = self.ecs.forgotten.get(arn, -math.inf)
        if answers and busy and self.ecs.now - lost < self.wanted().runtime.drain_seconds:
            self.fail(
                f"{told} while busy, {self.ecs.now - lost:.0f} s after it was lost (invariant 5)"
            )
        last = self.stopped_at.get(service.name)
        if last is not None and self.ecs.now - last < FIRST_PAUSE_SECONDS:
            self.fail(f"{told} {self.ecs.now - last:.0f} s after another")
        starting = [
            t.arn for t in service.tasks if last is not None and t.created_at >= last and t.age < 1
        ]
        if starting:
            self.fail(f"{told} before {starting} has taken the place of the last")
        self.stopped_at[service.name] = self.ecs.now

    def _check_creation(self, name: str) -> None:
        told = self.seen_services.get(name)
        if name not in self.ecs.services or told is None:
            return
        if self.ecs.now - told < CONFIRM_SECONDS:
            self.fail(f"{name} is created although it was there a moment ago (invariant 0)")

    def _check_update(self, asked: Json) -> None:
        component = next(
            (c for c in self.wanted().components if c.service == asked["service"]), None
        )
        service = self.ecs.services.get(asked["service"])
        if component is None or service is None:
            return
        if {"taskDefinition", "networkConfiguration", "desiredCount"} & asked.keys():
            self.changed_at[service.name] = self.ecs.now
        desired, scaling = asked.get("desiredCount"), component.scaling
        if desired is None or scaling is None:
            return
        if not scaling.min <= desired <= scaling.max:
            self.fail(f"{service.name}: {desired} is not in [min, max] (invariant 5)")

    # At each task that ends ---------------------------------------------------------------------

    def task_ended(self, service: SimService, task: SimTask, why: str) -> None:
        known = self.serving.pop(task.arn, None)
        component = self._component(service)
        if why != "scheduler" or component is None or known is None:
            return
        if self.ecs.leaves(task) or self.ecs.now - self.looked_at > ABSENT_SECONDS:
            return
        if component.is_infrastructure:
            self._check_etcd(service, task)
        if self.ecs.now - known.since >= self.ecs.lease:
            self._check_floor(service, component, task)
        self._check_busy(service, task, known)

    def _component(self, service: SimService) -> Component | None:
        found = (c for c in self.wanted().components if c.service == service.name)
        return next(found, None)

    def _check_floor(self, service: SimService, component: Component, task: SimTask) -> None:
        """The remaining replicas have served for one lease, and there are enough of them."""
        if component.is_infrastructure or not self.ecs.is_serving(service, task):
            return
        left = [
            t
            for t in service.tasks
            if t.arn in self.serving
            and self.ecs.is_serving(service, t)
            and (
                t.deployment != service.primary.id
                or self.ecs.now - self.serving[t.arn].since >= self.ecs.lease
            )
        ]
        if any(t.orphaned for t in service.tasks):
            return  # The old side was kept and then lost its etcd, which the daemon did not cause.
        rollout = component.rollout
        desired = min(service.desired, component.replicas) if not component.scaling else 0
        desired = service.desired if component.scaling else desired
        floor = math.ceil(desired * rollout.minimum_healthy_percent / 100)
        began = min(service.primary.created_at, self.changed_at.get(service.name, math.inf))
        if self.ecs.now - began >= rollout.progress_deadline_seconds:
            return
        cramped = self.cramped_at.get(service.name, -math.inf) >= began - 30.0
        if cramped and self.ecs.relocated(service, task):
            return  # The new side does not fit beside the old one, which is released in any case.
        # Which of several replicas at an address is ill is unknown, so one of them is kept.
        sick = {*self.ecs.hung, *self.ecs.forgotten}
        taken = sum(t.arn in sick for t in self.ecs.alike(service, task))
        if len(left) + taken < floor - cramped:
            self.fail(
                f"{task.arn} of {service.name} was stopped: {len(left)} are left that have served "
                f"for a lease, of {floor} that must (invariant 4)"
            )

    def _check_etcd(self, service: SimService, task: SimTask) -> None:
        """Users of an etcd that stops have a successor elsewhere that has served for a lease."""
        if self.ecs.now - service.primary.created_at >= ABSENT_SECONDS:
            return
        found = self.ecs.dependants(task)
        # ECS protects at most the desired count: if another one is kept, some serving are enough.
        kept = sum(t.protected_until > self.ecs.now for t in service.tasks)
        taken = kept >= service.desired
        if taken and self.ecs.gpus_each > 1:
            return  # Workers that chose their ports are found only through the etcd that is read.
        there = {s.name for s, _, here in found if not here}
        if taken and there - {s.name for s, _, here in found if here}:
            return  # One half of the graph serves with each etcd, so one half is lost in any case.
        for name in {s.name for s, _, here in found if here}:
            elsewhere = [t for s, t, here in found if s.name == name and not here]
            settled = [
                t
                for t in elsewhere
                if (known := self.serving.get(t.arn)) is not None
                and self.ecs.now - known.since >= self.ecs.lease
            ]
            if not (elsewhere if taken else settled):
                self.fail(
                    f"the etcd {task.arn} was stopped, and {name} still uses it (invariant 4)"
                )

    def _check_busy(self, service: SimService, task: SimTask, known: Served) -> None:
        drain = self.wanted().runtime.drain_seconds
        began = max(service.primary.created_at, self.changed_at.get(service.name, -math.inf))
        if task.arn not in self.ecs.busy:
            return  # The task has just become idle.
        if known.busy_since is None or known.busy_since >= self.looked_at - 20.0:
            return
        if self.ecs.now - self.ecs.unheard.get(task.arn, math.inf) >= drain:
            return
        if self.ecs.now - began < drain and self.ecs.is_serving(service, task):
            self.fail(f"{task.arn} of {service.name} was stopped while busy (invariant 5)")

    # Between steps ------------------------------------------------------------------------------

    def observe(self) -> None:
        """Record the replicas that serve now, and those without capacity."""
        now = self.ecs.now
        self.busy_since = {arn: self.busy_since.get(arn, now) for arn in self.ecs.busy}
        for service in self.ecs.services.values():
            if self._component(service) is None:
                continue
            if not self.ecs._fits(service):
                self.cramped_at[service.name] = now
            for task in service.tasks:
                if not self.ecs.is_serving(service, task):
                    self.serving.pop(task.arn, None)
                    continue
                known = self.serving.setdefault(task.arn, Served(now))
                busy = task.arn in self.ecs.busy
                known.busy_since = (known.busy_since or now) if busy else None

    def check(self) -> None:
        """Raise AssertionError for a violated invariant."""
        for name, tags in self.foreign.items():
            service = self.ecs.services.get(name)
            if service is None or repr(service.tags) != tags or len(service.deployments) != 1:
                self.fail(f"{name} is another's, and was changed (invariant 10)")
        early = [one for one in self.ecs.injected_at_start if not one[2]]
        if early:
            self.fail(f"started without a ready endpoint: {early} (invariant 3)")
        assert not self.violations, "; ".join(self.violations)


def check_pass(done: Pass, graph: Graph) -> None:
    """Check the invariants of each pass, whatever it observed."""
    for result in done.results:
        told = result.error or ""
        assert not told.startswith("it ended in"), f"{result.action}: {told}"
    for name, seen in done.snapshot.components.items():
        unknown = [p for p in (seen.service, seen.tasks) if isinstance(p, Unknown)]
        if not unknown:
            continue
        assert not done.converged, f"{name} is unknown, and the pass says that all is well"
        for action in done.plan.actions:
            if action.component != name:
                continue
            releases = isinstance(action, ProtectTasks) and action.minutes is None
            forbidden = CreateService | DeleteService | RetireRevisions
            rolls = isinstance(action, UpdateService) and action.revision is not None
            if releases or rolls or is_hold(action) or isinstance(action, forbidden):
                text = f"{name}: {unknown[0].reason}, and yet {action} (invariant 0)"
                raise AssertionError(text)
