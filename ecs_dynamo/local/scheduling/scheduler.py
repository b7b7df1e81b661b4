"""The service scheduler: carries out `rolling_update.decide` and keeps the bookkeeping."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable

from ecs_dynamo.local.placement.provider_strategy import FARGATE, next_provider
from ecs_dynamo.local.placement.selection import NO_INSTANCE, TROUBLESHOOTING, Rules, rules_of
from ecs_dynamo.local.scheduling.rolling_update import (
    ServiceView,
    TaskView,
    decide,
    failure_threshold,
)
from ecs_dynamo.local.state.entities import Deployment, Service, Task, TaskDefinition
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.lifecycle import PlacementError, Tasks
from ecs_dynamo.local.wire.protocol import Json

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
PLACEMENT_RETRY_SECONDS = 2.0
LAUNCH_BACKOFF_SECONDS = 0.5
LAUNCH_BACKOFF_MAX_SECONDS = 60.0


def _rules(request: Json) -> Rules:
    return rules_of(request.get("placementConstraints", ()), request.get("placementStrategy", ()))


def _launch_type(request: Json, provider: str | None) -> str:
    if provider is not None:
        return "FARGATE" if provider in FARGATE else "EC2"
    return str(request.get("launchType", "EC2"))


class Scheduler:
    """Runs until cancelled; `wake` asks for a round now, and ``after`` is called at its end."""

    def __init__(
        self, state: State, tasks: Tasks, after: Callable[[], None] = lambda: None
    ) -> None:
        self._after = after
        self._state = state
        self._tasks = tasks
        self._wake = asyncio.Event()
        self._counted: set[str] = set()

    def wake(self) -> None:
        """Something has changed."""
        self._wake.set()

    async def run(self) -> None:
        """One round after another."""
        while True:
            # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            self.round()

    def round(self) -> None:
        """Look at every service once."""
        self._state.forget_old()
        now = self._state.now()
        for service in list(self._state.services.values()):
            try:
                self._drain(service)
                self._service(service)
            except Exception as error:
                # One service that can not be scheduled must not stop the others.
                _log.exception("service %s could not be scheduled", service.name)
                service.say(f"could not be scheduled (internal error: {error!r}).", now)
        try:
            self._after()
        except Exception:
            _log.exception("what follows a round has failed")

    def _drain(self, service: Service) -> None:
        """Tasks that do not run yet on instances that are DRAINING are stopped at once; those that
        run are replaced within the deployment limits (ECS developer guide, draining)."""
        for task in self._state.service_tasks(service):
            if task.alive and task.last_status != "RUNNING" and self._leaves(task):
                self._tasks.stop(
                    task, "ServiceSchedulerInitiated", "Task stopped by instance draining"
                )

    @staticmethod
    def _leaves(task: Task) -> bool:
        return task.instance is not None and task.instance.status == "DRAINING"

    def _service(self, service: Service) -> None:
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
        moves = decide(
            ServiceView(
                desired=service.desired,
                minimum_percent=self._percent(service, "minimumHealthyPercent", 100),
                maximum_percent=self._percent(service, "maximumPercent", 200),
                primary=primary.id,
                tasks=tuple(self._view(t, service) for t in tasks if t.alive),
                may_start=now >= primary.not_before and primary.rollout_state != "FAILED",
                keeps={
                    d.id: d.keeps
                    for d in service.deployments
                    if d is not primary and d.completed_once and d.keeps
                },
                pausing=frozenset(d.id for d in service.deployments if now < d.not_before),
            )
        )
        by_arn = {t.arn: t for t in tasks}
        for arn, reason in moves.stop:
            task = by_arn[arn]
            if reason == "failed container health checks":
                service.say(f"(task {task.id}) failed container health checks.", now)
            self._tasks.stop(
                task, "ServiceSchedulerInitiated", f"{reason} (deployment {primary.id})"
            )
        for former in service.deployments:
            former.keeps = moves.keeps.get(former.id, 0)
            if count := moves.replace.get(former.id, 0):
                self._start(service, former, count)
        if moves.start:
            self._start(service, primary, moves.start)
        self._forget_ended(service)
        if moves.complete:
            self._complete(service, primary)
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
        spared = task.started_at is not None and now - task.started_at < grace
        return TaskView(
            arn=task.arn,
            deployment=task.deployment or "",
            running=running,
            healthy=running and (task.health == "HEALTHY" or not task.has_health_check),
            unhealthy=task.health == "UNHEALTHY" and not spared,
            protected=task.protected(now),
            created_at=task.created_at,
            leaving=self._leaves(task),
        )

    def _start(self, service: Service, deployment: Deployment, count: int) -> None:
        started: list[str] = []
        now = self._state.now()
        for _ in range(count):
            provider = self._provider(service, deployment)
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
                    provider=provider,
                    registries=deployment.registries,
                    connect=deployment.connect,
                    tags=service.tags
                    if service.request.get("propagateTags") == "SERVICE"
                    else deployment.definition.tags
                    if service.request.get("propagateTags") == "TASK_DEFINITION"
                    else [],
                )
            except PlacementError as error:
                service.say(f"{NO_INSTANCE} Reason: {error}. {TROUBLESHOOTING}", now)
                deployment.not_before = now + PLACEMENT_RETRY_SECONDS
                break
            except Exception as error:
                _log.exception("service %s could not start a task", service.name)
                service.say(f"failed to launch a task with (error {error!r}).", now)
                deployment.launch_failures += 1
                pause = LAUNCH_BACKOFF_SECONDS * 2 ** min(deployment.launch_failures, 20)
                deployment.not_before = now + min(pause, LAUNCH_BACKOFF_MAX_SECONDS)
                break
            started.append(f"(task {task.id})")
        if started:
            service.steady = False
            service.say(f"has started {len(started)} tasks: {' '.join(started)}.", now)

    def _provider(self, service: Service, deployment: Deployment) -> str | None:
        """The capacity provider of the deployment's next task."""
        strategy = deployment.strategy
        if not strategy:
            return None
        counts = Counter(
            t.provider
            for t in self._state.service_tasks(service)
            if t.alive and t.provider and t.deployment == deployment.id
        )
        return next_provider(strategy, {k: v for k, v in counts.items() if k})

    def _place_waiting(self, service: Service) -> None:
        for task in self._state.service_tasks(service):
            if task.waits and task.alive:
                deployment = next(
                    (d for d in service.deployments if d.id == task.deployment), service.primary
                )
                self._tasks.place_waiting(task, _rules(service.request), deployment.network)

    def _count_failures(self, service: Service, tasks: list[Task]) -> None:
        """Failures of a deployment that has had no success yet, and the pause before the next."""
        now = self._state.now()
        for task in tasks:
            deployment = next((d for d in service.deployments if d.id == task.deployment), None)
            if deployment is None:
                continue
            if task.alive and self._view(task, service).healthy and not deployment.succeeded_once:
                deployment.succeeded_once = True
                deployment.failed = 0
            failed = task.last_status == "STOPPED" and (
                task.stop_code in ("TaskFailedToStart", "EssentialContainerExited")
                or "failed container health checks" in (task.stopped_reason or "")
            )
            if not failed or task.arn in self._counted:
                continue
            self._counted.add(task.arn)
            # Only launches that follow at once upon each other are slowed down.
            lived = (task.stopped_at or now) - (task.started_at or task.stopped_at or now)
            deployment.launch_failures = 0 if lived > 10 else deployment.launch_failures + 1
            pause = LAUNCH_BACKOFF_SECONDS * 2 ** min(deployment.launch_failures, 20)
            deployment.not_before = now + min(pause, LAUNCH_BACKOFF_MAX_SECONDS)
            if not deployment.succeeded_once:
                deployment.failed += 1
                self._break_circuit(service, deployment)

    def _break_circuit(self, service: Service, deployment: Deployment) -> None:
        breaker = service.request.get("deploymentConfiguration", {}).get(
            "deploymentCircuitBreaker", {}
        )
        if (
            not breaker.get("enable")
            or deployment.status != "PRIMARY"
            or deployment.failed < failure_threshold(service.desired)
        ):
            return
        now = self._state.now()
        deployment.rollout_state = "FAILED"
        deployment.rollout_reason = "ECS deployment circuit breaker: tasks failed to start."
        deployment.updated_at = now
        service.say(f"(deployment {deployment.id}) deployment failed: tasks failed to start.", now)
        former = service.last_complete
        if breaker.get("rollback") and former is not None and former is not deployment.definition:
            back = self._back_to(service, former)
            back.rollout_reason = (
                f"ECS deployment circuit breaker: rolling back to deploymentId {back.id}."
            )
            service.say(f"rolling back to deployment {back.id}.", now)

    def _back_to(self, service: Service, former: TaskDefinition) -> Deployment:
        """The former deployment where it is still listed, with its tasks; else a new one."""
        kept = next((d for d in service.deployments if d.definition is former), None)
        if kept is None:
            return self.deploy(service, former)
        for deployment in service.deployments:
            deployment.status = "ACTIVE"
            deployment.keeps = 0
        service.deployments.remove(kept)
        service.deployments.insert(0, kept)
        kept.status, kept.rollout_state = "PRIMARY", "IN_PROGRESS"
        kept.desired, kept.updated_at = service.desired, self._state.now()
        self.wake()
        return kept

    def _alive(self, service: Service, deployment: Deployment) -> int:
        tasks = self._state.service_tasks(service)
        return sum(1 for t in tasks if t.alive and t.deployment == deployment.id)

    def scale_out(self, service: Service, more: int) -> None:
        """While a deployment is under way "ECS applies scale-out to both service revisions"."""
        running = next((d for d in service.deployments[1:] if d.completed_once and d.keeps), None)
        if running is not None:
            running.keeps += more

    def active(self, service: Service) -> list[Deployment]:
        """Deployments that are in force, or have tasks that have not ended."""
        held = {t.deployment for t in self._state.service_tasks(service) if t.holds_resources}
        return [d for d in service.deployments if d.status == "PRIMARY" or d.id in held or d.keeps]

    def _forget_ended(self, service: Service) -> None:
        """A deployment "stays ACTIVE until all of its tasks have been stopped". One that failed is
        listed until the next is complete, as ECS shows the reason for a while."""
        active = self.active(service)
        service.deployments = [
            d for d in service.deployments if d in active or d.rollout_state == "FAILED"
        ]

    def deploy(self, service: Service, definition: TaskDefinition) -> Deployment:
        """A new PRIMARY deployment; the former one becomes ACTIVE until its tasks are gone."""
        now = self._state.now()
        for deployment in service.deployments:
            if deployment.status == "PRIMARY":
                deployment.status = "ACTIVE"
                deployment.updated_at = now
                deployment.keeps = self._alive(service, deployment)
        made = Deployment(
            id=f"ecs-svc/{int(self._state.new_id()[:15], 16)}",
            definition=definition,
            desired=service.desired,
            created_at=now,
            updated_at=now,
            network=service.request.get("networkConfiguration"),
            strategy=service.request.get("capacityProviderStrategy") or [],
            registries=service.request.get("serviceRegistries") or [],
            connect=service.request.get("serviceConnectConfiguration"),
        )
        made.rollout_reason = f"ECS deployment {made.id} in progress."
        service.deployments.insert(0, made)
        service.steady = False
        self.wake()
        return made

    def _complete(self, service: Service, primary: Deployment) -> None:
        now = self._state.now()
        # A deployment is listed as long as tasks of it have not stopped.
        held = {t.deployment for t in self._state.service_tasks(service) if t.holds_resources}
        service.deployments = [
            d for d in service.deployments if d.status == "PRIMARY" or d.id in held
        ]
        for deployment in service.deployments:
            if deployment.status != "PRIMARY":
                deployment.desired = 0
        if len(service.deployments) > 1:
            return
        primary.completed_once = True
        if primary.rollout_state == "IN_PROGRESS":
            primary.rollout_state = "COMPLETED"
            primary.rollout_reason = f"ECS deployment {primary.id} completed."
            primary.updated_at = now
            service.say(f"(deployment {primary.id}) deployment completed.", now)
        service.last_complete = primary.definition
        if not service.steady:
            service.steady = True
            service.say("has reached a steady state.", now)
