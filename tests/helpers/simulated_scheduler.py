"""The service scheduler of the simulated ECS, and the processes of its tasks."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.spec.service import NetworkSpec
from tests.helpers.simulated_observation import SimulatedState
from tests.helpers.simulated_services import SimDeployment, SimService, SimTask

EXIT_AFTER_LOST_ETCD = 3
"""Steps for which a process serves without its etcd (27 s in reality)."""


class SimulatedScheduler(SimulatedState):
    """Advances the time: ECS starts and stops tasks, and processes exit without their etcd."""

    def step(self, seconds: float = 10.0) -> None:
        """Advance the time, and let the service scheduler and Dynamo act once."""
        self.now += seconds
        etcds = self._live_etcds()
        newest = max(etcds, key=self._started, default=None)
        for service in self.services.values():
            for task in list(service.tasks):
                task.age += 1
                if task.etcd is None:
                    task.etcd = newest
                lost = self._store(self._etcd_of(task)) not in (*etcds, None)
                task.orphaned = task.orphaned + 1 if lost else 0
                if task.orphaned > EXIT_AFTER_LOST_ETCD or (task.bad and task.age >= 1):
                    service.tasks.remove(task)
                    self.ended(service, task, "exit")
                    service.failures += task.bad and task.deployment == service.primary.id
                    self._note_crash(service, task)
            self._schedule(service)

    def _deployment(self, revision: str, network: NetworkSpec | None) -> SimDeployment:
        return SimDeployment(f"ecs-svc/{self._fresh()}", revision, network, self.now)

    def _deploy(self, service: SimService, revision: str, network: NetworkSpec | None) -> None:
        assert len(service.deployments) < 5, "5 active deployments exist"
        former = service.primary
        former.keeps = len(service.of(former))
        service.failures = 0
        service.deployments.insert(0, self._deployment(revision, network))

    def ended(self, service: SimService, task: SimTask, why: str) -> None:
        """Do nothing; a subclass may record that a task has ended.

        ``why``: its process exited (``exit``), it was lost (``loss``), or ECS stopped it for a
        deployment, a scale-in or a draining instance (``scheduler``).
        """

    def _note_crash(self, service: SimService, task: SimTask) -> None:
        code, reason = self.crashes.get(self._image(task.revision), ("", ""))
        if code:
            gone = replace(self._task(task), last_status="STOPPED", desired_status="STOPPED")
            reported = replace(gone, stopped_at=self.now, stop_code=code, stopped_reason=reason)
            service.stopped.append(reported)

    def _image(self, revision: str) -> str:
        return str(self.revisions[revision].content["containerDefinitions"][0]["image"])

    def _schedule(self, service: SimService) -> None:
        if (
            service.failures >= 3
            and service.previous is not None
            and (service.limits.circuit_breaker)
        ):
            service.failed, back = service.primary, service.previous
            service.previous = None
            self._deploy(service, back.revision, back.network)
            service.change(network=back.network)
        for task in [t for t in service.tasks if t.age < 1 and self.leaves(t)]:
            service.tasks.remove(task)
            self.ended(service, task, "scheduler")
        new = [t for t in service.of(service.primary) if not self.leaves(t)]
        old = [t for t in service.tasks if t not in new]
        floor = -(-service.desired * service.minimum // 100)
        ceiling = max(service.desired * service.maximum // 100, 1 if service.desired else 0)
        healthy_new = sum(t.age >= 1 and not t.bad for t in new)
        former = {d.id: d for d in service.deployments[1:]}
        for task in sorted(old, key=lambda t: (t.age >= 1, t.arn)):
            if task.protected_until > self.now:
                continue
            healthy = healthy_new + sum(t.age >= 1 for t in old)
            if task.age < 1 or healthy - 1 >= floor or healthy_new >= service.desired:
                old.remove(task)
                service.tasks.remove(task)
                self.ended(service, task, "scheduler")
                if task.deployment in former:
                    former[task.deployment].keeps -= 1
        self._replace_old(service, healthy_new, ceiling)
        while len(new) > service.desired:
            idle = [t for t in new if t.protected_until <= self.now]
            if not idle:
                break
            service.tasks.remove(idle[-1])
            new.remove(idle[-1])
            self.ended(service, idle[-1], "scheduler")
        while len(new) < service.desired and len(service.tasks) < ceiling and self._fits(service):
            task = self._launch(service, service.primary)
            new.append(task)
        done = len(new) == len(service.tasks) == service.desired
        service.primary.completed |= done and all(t.age >= 1 for t in new)
        service.unplaced = len(new) < service.desired and not self._fits(service)

    def _replace_old(self, service: SimService, healthy_new: int, ceiling: int) -> None:
        """Replace lost tasks of earlier deployments that were complete, before newer tasks start.

        Those of "the currently running version" are replaced "using the same service revision they
        belong to" (AWS, November 2025).
        """
        for former in service.deployments[1:]:
            if healthy_new >= service.desired or not former.completed:
                former.keeps = 0
            while (
                len(service.of(former)) < former.keeps
                and len(service.tasks) < ceiling
                and self._fits(service)
            ):
                self._launch(service, former)
        service.deployments[1:] = [d for d in service.deployments[1:] if d.keeps or service.of(d)]

    def leaves(self, task: SimTask) -> bool:
        """Return whether the task's instance is DRAINING."""
        return task.instance in self.drained

    def _fits(self, service: SimService) -> bool:
        return self._on_fargate(service) or self._slot(service) is not None

    def _on_fargate(self, service: SimService) -> bool:
        component = self._component(service)
        return component is None or component.launch_type == "FARGATE"

    def _slot(self, service: SimService) -> int | None:
        """Return an instance for one more task: each has one GPU slot and one host port."""
        component = self._component(service)
        if component is None or self._on_fargate(service):
            return None
        taken = {t.instance for t in service.tasks} if not gpus_of(component) else self._gpus_used()
        free = set(range(self.gpu_instances)) - taken - self.drained - self.lost
        return min(free, default=None)

    def _launch(self, service: SimService, deployment: SimDeployment) -> SimTask:
        number = self._fresh()
        content = self.revisions[deployment.revision].content
        image = self._image(deployment.revision)
        instance = self._slot(service)
        task = SimTask(
            arn=f"arn:task/{number:05d}",
            revision=deployment.revision,
            deployment=deployment.id,
            ip=self.address(service, number, instance),
            bad=image in self.bad_images or image in self.crashes,
            mute=image in self.mute_images,
            created_at=self.now,
            instance=instance,
            slow=self.slow,
        )
        service.tasks.append(task)
        etcd = environment_value(content, "ETCD_ENDPOINTS")
        if etcd is not None:
            ready = etcd in self.ever_ready if self._is_address(etcd) else bool(self.ever_ready)
            self.injected_at_start.append((service.name, etcd, ready))
        return task

    def address(self, service: SimService, number: int, instance: int | None) -> str:
        """Return the address of a new task; here each task has its own."""
        return f"10.0.{number // 250}.{number % 250 + 1}"

    def kill(self, component: str, index: int = 0) -> None:
        """Let a task die; the scheduler replaces it at another address."""
        services = [s for s in self.services.values() if s.component == component]
        tasks = [(s, t) for s in services for t in s.tasks]
        if tasks:
            service, task = tasks[index % len(tasks)]
            service.tasks.remove(task)
            self.ended(service, task, "loss")
