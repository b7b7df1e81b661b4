"""The service scheduler: applies the changes of `rolling_update` and tracks deployments."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable

from ecs_dynamo.local.placement.provider_strategy import FARGATE, next_provider
from ecs_dynamo.local.placement.selection import (
    NO_INSTANCE,
    TROUBLESHOOTING,
    PlacementRules,
    placement_rules,
)
from ecs_dynamo.local.scheduling.deployments import (
    break_circuit,
    complete_deployment,
    remove_ended_deployments,
)
from ecs_dynamo.local.scheduling.rolling_update import (
    UNHEALTHY_REASON,
    ServiceView,
    TaskView,
    decide,
)
from ecs_dynamo.local.state.entities import Deployment, Service, Task
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.lifecycle import TaskManager
from ecs_dynamo.local.tasks.placing import PlacementError
from ecs_dynamo.local.wire.protocol import Json

_log = logging.getLogger(__name__)

ROUND_SECONDS = 0.5
"""Longest time between two rounds."""
PLACEMENT_RETRY_SECONDS = 2.0
LAUNCH_BACK_OFF_SECONDS = 0.5
LAUNCH_BACK_OFF_MAX_SECONDS = 60.0
RESET_BACK_OFF_SECONDS = 10.0
"""A task that ran longer than this resets the back-off of its deployment."""


def _rules(request: Json) -> PlacementRules:
    return placement_rules(
        request.get("placementConstraints", ()), request.get("placementStrategy", ())
    )


def _launch_type(request: Json, provider: str | None) -> str:
    if provider is not None:
        return "FARGATE" if provider in FARGATE else "EC2"
    return str(request.get("launchType", "EC2"))


def _back_off(failures: int) -> float:
    """Return the pause before the next launch, in seconds, after consecutive failures."""
    pause = LAUNCH_BACK_OFF_SECONDS * 2.0 ** min(failures, 20)
    return min(pause, LAUNCH_BACK_OFF_MAX_SECONDS)


def _propagated_tags(service: Service, deployment: Deployment) -> list[Json]:
    """Return the tags that tasks of the service get (CreateService, propagateTags)."""
    match service.request.get("propagateTags"):
        case "SERVICE":
            return service.tags
        case "TASK_DEFINITION":
            return deployment.definition.tags
    return []


class Scheduler:
    """Schedules services in rounds, and calls ``after_round`` after each of them."""

    def __init__(
        self, state: State, tasks: TaskManager, after_round: Callable[[], None] = lambda: None
    ) -> None:
        self._after_round = after_round
        self._state = state
        self._tasks = tasks
        self._wake = asyncio.Event()
        self._counted_failures: set[str] = set()

    def wake(self) -> None:
        """Request a round, since something has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Run rounds until cancelled."""
        while True:
            # Not `wait_for`, which in Python 3.11 loses a cancellation that coincides with the
            # event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            self.round()

    def round(self) -> None:
        """Schedule each service once."""
        self._state.remove_expired()
        now = self._state.now()
        for service in list(self._state.services.values()):
            try:
                self._stop_starting_tasks_on_draining_instances(service)
                self._schedule(service)
            except Exception as error:
                # A failure of one service must not affect the others.
                _log.exception("service %s could not be scheduled", service.name)
                service.add_event(f"could not be scheduled (internal error: {error!r}).", now)
        try:
            self._after_round()
        except Exception:
            _log.exception("the work after a round failed")

    def _stop_starting_tasks_on_draining_instances(self, service: Service) -> None:
        """Stop tasks on DRAINING instances that do not run yet.

        Running tasks are replaced within the deployment limits (ECS developer guide, draining).
        """
        for task in self._state.service_tasks(service):
            if task.alive and task.last_status != "RUNNING" and self._on_draining_instance(task):
                self._tasks.stop(
                    task, "ServiceSchedulerInitiated", "Task stopped by instance draining"
                )

    @staticmethod
    def _on_draining_instance(task: Task) -> bool:
        return task.instance is not None and task.instance.status == "DRAINING"

    def _schedule(self, service: Service) -> None:
        tasks = self._state.service_tasks(service)
        if service.status == "DRAINING":
            for task in tasks:
                self._tasks.stop(task, "ServiceSchedulerInitiated", "service is being deleted")
            if not any(t.holds_resources for t in tasks):
                service.status = "INACTIVE"
                service.deleted_at = self._state.now()
            return
        if service.status != "ACTIVE":
            return
        self._place_waiting(service)
        self._count_failures(service, tasks)
        primary, now = service.primary, self._state.now()
        primary.desired = service.desired
        changes = decide(
            ServiceView(
                desired=service.desired,
                minimum_percent=self._percent(service, "minimumHealthyPercent", 100),
                maximum_percent=self._percent(service, "maximumPercent", 200),
                primary=primary.id,
                tasks=tuple(self._view(t, service) for t in tasks if t.alive),
                may_start=now >= primary.not_before and primary.rollout_state != "FAILED",
                retained={
                    d.id: d.retained
                    for d in service.deployments
                    if d is not primary and d.completed_once and d.retained
                },
                backing_off=frozenset(d.id for d in service.deployments if now < d.not_before),
            )
        )
        by_arn = {t.arn: t for t in tasks}
        for arn, reason in changes.stop:
            task = by_arn[arn]
            if reason == UNHEALTHY_REASON:
                service.add_event(f"(task {task.id}) {UNHEALTHY_REASON}.", now)
            self._tasks.stop(
                task, "ServiceSchedulerInitiated", f"{reason} (deployment {primary.id})"
            )
        for deployment in service.deployments:
            deployment.retained = changes.retained.get(deployment.id, 0)
            if count := changes.replace.get(deployment.id, 0):
                self._start_tasks(service, deployment, count)
        if changes.start:
            self._start_tasks(service, primary, changes.start)
        remove_ended_deployments(self._state, service)
        if changes.complete:
            complete_deployment(self._state, service)
        elif primary.rollout_state == "COMPLETED":
            service.steady = False

    @staticmethod
    def _percent(service: Service, key: str, default: int) -> int:
        return int(service.request.get("deploymentConfiguration", {}).get(key, default))

    def _view(self, task: Task, service: Service) -> TaskView:
        running, now = task.last_status == "RUNNING", self._state.now()
        # "ignores unhealthy Elastic Load Balancing, VPC Lattice, and container health checks after
        # a task has first started" (service model, healthCheckGracePeriodSeconds).
        grace = service.request.get("healthCheckGracePeriodSeconds", 0)
        in_grace_period = task.started_at is not None and now - task.started_at < grace
        return TaskView(
            arn=task.arn,
            deployment=task.deployment or "",
            running=running,
            healthy=running and (task.health == "HEALTHY" or not task.has_health_check),
            unhealthy=task.health == "UNHEALTHY" and not in_grace_period,
            protected=task.protected(now),
            created_at=task.created_at,
            on_draining_instance=self._on_draining_instance(task),
        )

    def _start_tasks(self, service: Service, deployment: Deployment, count: int) -> None:
        started: list[str] = []
        now = self._state.now()
        for _ in range(count):
            provider = self._next_provider(service, deployment)
            try:
                task = self._tasks.create(
                    self._state.clusters[service.cluster],
                    deployment.definition,
                    launch_type=_launch_type(service.request, provider),
                    group=f"service:{service.name}",
                    network=deployment.network,
                    service=service.name,
                    deployment=deployment.id,
                    started_by=deployment.id,
                    rules=_rules(service.request),
                    capacity_provider=provider,
                    registries=deployment.registries,
                    service_connect=deployment.service_connect,
                    tags=_propagated_tags(service, deployment),
                    execute_command=service.request.get("enableExecuteCommand", False),
                )
            except PlacementError as error:
                service.add_event(f"{NO_INSTANCE} Reason: {error}. {TROUBLESHOOTING}", now)
                deployment.not_before = now + PLACEMENT_RETRY_SECONDS
                break
            except Exception as error:
                _log.exception("service %s could not start a task", service.name)
                service.add_event(f"failed to launch a task with (error {error!r}).", now)
                deployment.launch_failures += 1
                deployment.not_before = now + _back_off(deployment.launch_failures)
                break
            started.append(f"(task {task.id})")
        if started:
            service.steady = False
            service.add_event(f"has started {len(started)} tasks: {' '.join(started)}.", now)

    def _next_provider(self, service: Service, deployment: Deployment) -> str | None:
        """Return the capacity provider of the deployment's next task, if it has a strategy."""
        strategy = deployment.strategy
        if not strategy:
            return None
        counts = Counter(
            t.capacity_provider
            for t in self._state.service_tasks(service)
            if t.alive and t.capacity_provider and t.deployment == deployment.id
        )
        return next_provider(strategy, {k: v for k, v in counts.items() if k})

    def _place_waiting(self, service: Service) -> None:
        for task in self._state.service_tasks(service):
            if task.awaiting_capacity and task.alive:
                deployment = next(
                    (d for d in service.deployments if d.id == task.deployment), service.primary
                )
                self._tasks.place_waiting(task, _rules(service.request), deployment.network)

    def _count_failures(self, service: Service, tasks: list[Task]) -> None:
        """Count failures of deployments without a success so far, and back off after failures."""
        now = self._state.now()
        for task in tasks:
            deployment = next((d for d in service.deployments if d.id == task.deployment), None)
            if deployment is None:
                continue
            if task.alive and self._view(task, service).healthy and not deployment.succeeded_once:
                deployment.succeeded_once = True
                deployment.failed_tasks = 0
            failed = task.last_status == "STOPPED" and (
                task.stop_code in ("TaskFailedToStart", "EssentialContainerExited")
                or UNHEALTHY_REASON in (task.stopped_reason or "")
            )
            if not failed or task.arn in self._counted_failures:
                continue
            self._counted_failures.add(task.arn)
            # Only launches that fail in quick succession are slowed down.
            lifetime = (task.stopped_at or now) - (task.started_at or task.stopped_at or now)
            if lifetime > RESET_BACK_OFF_SECONDS:
                deployment.launch_failures = 0
            else:
                deployment.launch_failures += 1
            deployment.not_before = now + _back_off(deployment.launch_failures)
            if not deployment.succeeded_once:
                deployment.failed_tasks += 1
                if break_circuit(self._state, service, deployment):
                    self.wake()
