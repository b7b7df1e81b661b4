"""The invariants of docs/design.md, checked on the true state of the simulation.

The daemon's own view does not matter, as it may be wrong. `Watch` checks each write and each task
that ends at the moment when it happens, and further invariants between two steps. A violation is an
AssertionError that describes what happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.aws.observe.sightings import CONFIRM_SECONDS
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.graph import TAG_GENERATION, TAG_GRAPH, Component, Graph
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
from tests.helpers.simulated_services import SimService, SimTask
from tests.unit.chaos.generations import (
    check_names,
    complete_generations,
    replicas_of,
    services_of,
    tasks_of,
)
from tests.unit.chaos.simulation.account import FOREIGN, SimulatedAccount

Json = dict[str, Any]
ABSENT_SECONDS = 300.0
"""If the last pass is this long ago, the daemon is not responsible for the actions of ECS."""
REVISIONS = {"DeregisterTaskDefinition": "taskDefinition", "DeleteTaskDefinitions": ""}


@dataclass
class Serving:
    """Time since which a replica has served, and since which it has been busy, in UTC seconds."""

    since: float
    busy_since: float | None = None


class Watch:
    """An observer of one account. ``declared`` returns the declared graph."""

    def __init__(self, ecs: SimulatedAccount, declared: Callable[[], Graph]) -> None:
        self.ecs = ecs
        self.declared = declared
        self.writes_allowed = True
        self.last_pass_at = ecs.now
        """When the last complete pass ended."""
        self.services_shown_at: dict[str, float] = {}
        """When ECS last showed each service to the daemon's current process."""
        self.stopped_at: dict[str, float] = {}
        """When the daemon's current process last stopped a task of a service."""
        self.busy_since: dict[str, float] = {}
        """Time since which a task has been busy, whether it serves or not."""
        self.violations: list[str] = []
        self.serving: dict[str, Serving] = {}
        self.cramped_at: dict[str, float] = {}
        """When a service last had no capacity for another task."""
        self.changed_at: dict[str, float] = {}
        """When the daemon last changed a service's revision, network or count."""
        self.lost_at = -math.inf
        """When a task last ended that ECS did not stop for its service."""
        self.foreign = {name: repr(ecs.services[name].tags) for name in FOREIGN}
        ecs.on_end = self.task_ended

    def fail(self, text: str) -> None:
        """Record a violation. `check` raises it: here, the daemon itself would handle the error."""
        self.violations.append(text)

    def new_process(self) -> None:
        """Forget what the previous process of the daemon knew."""
        self.services_shown_at = {}
        self.stopped_at = {}

    def passed(self, *, services_shown: bool) -> None:
        """Record a complete pass. ``services_shown``: ECS showed all services to the daemon."""
        self.last_pass_at = self.ecs.now
        if services_shown:
            for name in self.ecs.services:
                self.services_shown_at[name] = self.ecs.now

    # At each write ------------------------------------------------------------------------------

    def before_write(self, operation: str, request: Json) -> None:
        if not self.writes_allowed:
            self.fail(f"{operation} although the lease is lost (invariant 6)")
        self._check_owner(operation, request)
        if operation == "StopTask":
            self._check_stop(request["task"])
        if operation == "CreateService":
            self._check_creation(request["serviceName"])
        if operation == "DeleteService":
            self._check_deletion(request["service"])
        if operation == "UpdateService":
            self._check_update(request)

    def _owned(self, arn: str) -> bool:
        name = arn.rpartition("/")[2]
        if arn in self.ecs.revisions:
            return self.ecs.revisions[arn].tags.get(TAG_GRAPH) == self.declared().name
        service = self.ecs.services.get(name)
        return service is None or service.tags.get(TAG_GRAPH) == self.declared().name

    def _check_owner(self, operation: str, request: Json) -> None:
        named = [request.get("service"), request.get("resourceArn")]
        if operation == "DeregisterTaskDefinition":
            named.append(request["taskDefinition"])
        if operation == "DeleteTaskDefinitions":
            named += request["taskDefinitions"]
        tasks = {*request.get("tasks", ()), request.get("task")}
        services = self.ecs.services.values()
        named += [s.name for s in services for t in s.tasks if t.arn in tasks]
        for name in named:
            if name is not None and not self._owned(str(name)):
                self.fail(f"{operation} of {name}, which is not the graph's (invariant 10)")
        used = {d.revision for s in self.ecs.services.values() for d in s.deployments}
        used |= {t.revision for s in self.ecs.services.values() for t in s.tasks}
        if operation in REVISIONS and used & set(map(str, filter(None, named))):
            self.fail(f"{operation} of a revision in use: {used & set(map(str, named))}")

    def _check_stop(self, arn: str) -> None:
        """Check that a stopped worker hangs or has lost its registration, one at a time."""
        matches = ((s, t) for s in self.ecs.services.values() for t in s.tasks if t.arn == arn)
        service, task = next(matches, (None, None))
        if service is None or task is None:
            return  # The task has just ended.
        text = f"{arn} of {service.name} was stopped"
        hangs = arn in self.ecs.hung
        if not hangs and self.ecs.is_serving(service, task):
            self.fail(f"{text} and serves (invariant 5)")
        busy = self.busy_since.get(arn, math.inf) < self.last_pass_at - 20.0
        answers = not hangs and arn not in self.ecs.unheard
        lost = self.ecs.forgotten.get(arn, -math.inf)
        if answers and busy and self.ecs.now - lost < self.declared().runtime.drain_seconds:
            self.fail(
                f"{text} while busy, {self.ecs.now - lost:.0f} s after it was lost (invariant 5)"
            )
        last = self.stopped_at.get(service.name)
        if last is not None and self.ecs.now - last < FIRST_PAUSE_SECONDS:
            self.fail(f"{text} {self.ecs.now - last:.0f} s after another")
        starting = [
            t.arn for t in service.tasks if last is not None and t.created_at >= last and t.age < 1
        ]
        if starting:
            self.fail(f"{text} before {starting} has replaced the last one")
        self.stopped_at[service.name] = self.ecs.now

    def _check_creation(self, name: str) -> None:
        shown_at = self.services_shown_at.get(name)
        if name not in self.ecs.services or shown_at is None:
            return
        if self.ecs.now - shown_at < CONFIRM_SECONDS:
            self.fail(f"{name} is created although it existed a moment ago (invariant 0)")

    def _check_deletion(self, name: str) -> None:
        """Check that only services of ended generations are deleted: they have no replicas."""
        service = self.ecs.services.get(name)
        component = self._component(service) if service is not None else None
        if service is None or component is None:
            return
        if not component.is_worker or service.desired > 0 or service.tasks:
            self.fail(f"{name} is deleted although it is declared")

    def _check_update(self, request: Json) -> None:
        service = self.ecs.services.get(request["service"])
        component = self._component(service) if service is not None else None
        if component is None or service is None:
            return
        if {"taskDefinition", "networkConfiguration", "desiredCount"} & request.keys():
            self.changed_at[service.name] = self.ecs.now
        desired, scaling = request.get("desiredCount"), component.scaling
        if desired is None or scaling is None:
            return
        others = [s for s in services_of(self.ecs, component.name) if s is not service]
        total = desired + sum(s.desired for s in others)
        # While generations are exchanged, both have replicas.
        most = scaling.max * (2 if total > desired else 1)
        if not scaling.min <= total <= most or desired > scaling.max:
            self.fail(f"{service.name}: {desired} of {total} is not in [min, max] (invariant 5)")

    # At each task that ends ---------------------------------------------------------------------

    def task_ended(self, service: SimService, task: SimTask, why: str) -> None:
        known = self.serving.pop(task.arn, None)
        component = self._component(service)
        if why != "scheduler":
            self.lost_at = self.ecs.now
        if why != "scheduler" or component is None or known is None:
            return
        if self.ecs.leaves(task) or self.ecs.now - self.last_pass_at > ABSENT_SECONDS:
            return
        if component.is_infrastructure:
            self._check_etcd(service, task)
        if self.ecs.now - known.since >= self.ecs.lease:
            self._check_floor(service, component, task)
        if component.is_worker:
            self._check_generations(service, task)
        self._check_busy(service, task, known)

    def _component(self, service: SimService) -> Component | None:
        return self.ecs._component(service) if self.ecs.ours(service) else None

    def _check_generations(self, service: SimService, task: SimTask) -> None:
        """Check that a generation is still complete, if one was."""
        began = min(service.primary.created_at, self.changed_at.get(service.name, math.inf))
        cramped = self.cramped_at.get(service.name, -math.inf) >= began - 30.0
        if cramped and self.ecs.relocated(service, task):
            return  # The new side has no capacity beside the old one, which must go in any case.
        if not task.orphaned and self.lost_at < self.last_pass_at - 20.0:
            before = self._completed_by(service, task)
            if before and not complete_generations(self.ecs):
                self.fail(f"{task.arn} of {service.name} was stopped: no generation is complete")

    def _completed_by(self, service: SimService, task: SimTask) -> set[str]:
        """Return the generation that a task completed, which has just ended."""
        if not self.ecs.is_serving(service, task):
            return set()
        service.tasks.append(task)
        complete = complete_generations(self.ecs)
        service.tasks.remove(task)
        return complete

    def _check_floor(self, service: SimService, component: Component, task: SimTask) -> None:
        """Check that enough of the remaining replicas have served for one lease."""
        if component.is_infrastructure or not self.ecs.is_serving(service, task):
            return
        complete = complete_generations(self.ecs)
        remaining = [
            t
            for s, t in tasks_of(self.ecs, component.name)
            if t.arn in self.serving
            and self.ecs.is_serving(s, t)
            and (
                (s is service and t.deployment != service.primary.id)
                or self.ecs.now - self.serving[t.arn].since >= self.ecs.lease
            )
            and (s is service or s.tags.get(TAG_GENERATION, "") in complete)
        ]
        if component.is_worker and service.tags.get(TAG_GENERATION, "") not in (
            complete | self._completed_by(service, task)
        ):
            return  # A generation that is not complete is not routed to.
        if any(t.orphaned for t in service.tasks):
            return  # The old side was kept and then lost its etcd, independently of the daemon.
        rollout = component.rollout
        desired = replicas_of(self.ecs, component.name)
        if not component.scaling:
            total = sum(s.desired for s in services_of(self.ecs, component.name))
            desired = min(total, component.replicas)
        floor = math.ceil(desired * component.limits.minimum_healthy_percent / 100)
        began = min(service.primary.created_at, self.changed_at.get(service.name, math.inf))
        if self.ecs.now - began >= rollout.progress_deadline_seconds:
            return
        cramped = self.cramped_at.get(service.name, -math.inf) >= began - 30.0
        if cramped and self.ecs.relocated(service, task):
            return  # The new side has no capacity beside the old one, which must go in any case.
        # The daemon cannot know which of several tasks at one address is sick, and keeps one.
        sick = {*self.ecs.hung, *self.ecs.forgotten}
        sick_count = sum(t.arn in sick for t in self.ecs.alike(service, task))
        if len(remaining) + sick_count < floor - cramped:
            self.fail(
                f"{task.arn} of {service.name} was stopped: {len(remaining)} remain that have "
                f"served for a lease, fewer than {floor} (invariant 4)"
            )

    def _check_etcd(self, service: SimService, task: SimTask) -> None:
        """Check that users of a stopped etcd have successors that have served for a lease."""
        if self.ecs.now - service.primary.created_at >= ABSENT_SECONDS:
            return
        dependants = self.ecs.dependants(task)
        # ECS protects at most the desired count: if another one is kept, some serving are enough.
        kept_count = sum(t.protected_until > self.ecs.now for t in service.tasks)
        others_kept = kept_count >= service.desired
        if others_kept and self.ecs.gpus_each > 1:
            return  # Workers that chose their ports are found only through the etcd that is read.
        others = {s.name for s, _, uses_it in dependants if not uses_it}
        if others_kept and others - {s.name for s, _, uses_it in dependants if uses_it}:
            return  # Half of the graph serves at each etcd, so that either loss costs one half.
        for name in {s.name for s, _, uses_it in dependants if uses_it}:
            elsewhere = [t for s, t, uses_it in dependants if s.name == name and not uses_it]
            proven = [
                t
                for t in elsewhere
                if (known := self.serving.get(t.arn)) is not None
                and self.ecs.now - known.since >= self.ecs.lease
            ]
            if not (elsewhere if others_kept else proven):
                self.fail(
                    f"the etcd {task.arn} was stopped, and {name} still uses it (invariant 4)"
                )

    def _check_busy(self, service: SimService, task: SimTask, known: Serving) -> None:
        drain = self.declared().runtime.drain_seconds
        began = max(service.primary.created_at, self.changed_at.get(service.name, -math.inf))
        if task.arn not in self.ecs.busy:
            return  # The task has just become idle.
        if known.busy_since is None or known.busy_since >= self.last_pass_at - 20.0:
            return
        if self.ecs.now - self.ecs.unheard.get(task.arn, math.inf) >= drain:
            return
        if self.ecs.now - began < drain and self.ecs.is_serving(service, task):
            self.fail(f"{task.arn} of {service.name} was stopped while busy (invariant 5)")

    # Between steps ------------------------------------------------------------------------------

    def observe(self) -> None:
        """Record which tasks serve, and which services have no capacity for another task."""
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
                known = self.serving.setdefault(task.arn, Serving(now))
                busy = task.arn in self.ecs.busy
                known.busy_since = (known.busy_since or now) if busy else None

    def check(self) -> None:
        """Raise AssertionError if an invariant has been violated."""
        check_names(self.ecs)
        for name, tags in self.foreign.items():
            service = self.ecs.services.get(name)
            if service is None or repr(service.tags) != tags or len(service.deployments) != 1:
                self.fail(f"{name} is not the graph's, and was changed (invariant 10)")
        early = [start for start in self.ecs.injected_at_start if not start[2]]
        if early:
            self.fail(f"started without a ready endpoint: {early} (invariant 3)")
        assert not self.violations, "; ".join(self.violations)


def check_pass(outcome: Pass, graph: Graph) -> None:
    """Check a pass: it handles no unexpected error and leaves unobserved components alone."""
    for result in outcome.results:
        error = result.error or ""
        assert not error.startswith("unexpected "), f"{result.action}: {error}"
    for name, observed in outcome.snapshot.components.items():
        unknown = [p for p in (observed.service, observed.tasks) if isinstance(p, Unknown)]
        if not unknown:
            continue
        assert not outcome.converged, f"{name} is unknown, and the pass reports convergence"
        for action in outcome.plan.actions:
            if action.component != name:
                continue
            releases = isinstance(action, ProtectTasks) and action.minutes is None
            forbidden = CreateService | DeleteService | RetireRevisions
            starts_rollout = isinstance(action, UpdateService) and action.revision is not None
            if releases or starts_rollout or is_hold(action) or isinstance(action, forbidden):
                text = f"{name}: {unknown[0].reason}, and yet {action} (invariant 0)"
                raise AssertionError(text)
