"""The simulated ECS with what its API shows: stopped tasks, host addresses, foreign services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.dynamo.discovery import (
    ModelCard,
    Registration,
)
from ecs_dynamo.model.dynamo.variables import ROUTING_ID_VARIABLE
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Graph, JsonObject, NetworkMode, Role
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.service_settings import DeploymentLimits, ServiceSettings
from ecs_dynamo.model.snapshot import (
    ContainerInstance,
    Revision,
    Task,
)
from tests.helpers.simulated_ecs import SimulatedEcs
from tests.helpers.simulated_services import SimDeployment, SimService, SimTask, lease_of

EPOCH = 1_700_000_000.0
"""The server's clock at the start, in UTC seconds."""
STOPPED_SECONDS = 3600.0
"""How long ECS describes a stopped task (ECS API reference, DescribeTasks)."""
HUNG_SECONDS = 40.0
"""How long a frozen worker still counts as serving: the daemon cannot know earlier."""
FOREIGN = ("other-app", "g-legacy")
"""Services that do not belong to the graph; the second one has the graph's prefix."""


@dataclass(frozen=True)
class StoppedTask:
    """A stopped task as ECS describes it."""

    service: str
    cluster: str
    task: Task
    why: str


class SimulatedAccount(SimulatedEcs):
    """An account with the graph's cluster and services and revisions of others."""

    def __init__(self, graph: Graph, gpu_instances: int, gpus_each: int = 1) -> None:
        super().__init__(graph, gpu_instances)
        self.gpus_each = gpus_each
        self.now = EPOCH
        self.stopped_tasks: dict[str, StoppedTask] = {}
        self.deleted: dict[str, Service] = {}
        self.rolled_back: dict[str, float] = {}
        self.lingering: list[tuple[Registration, str | None, float]] = []
        """Registrations of dead processes, their etcd, and the end of their lease."""
        self.on_end: Callable[[SimService, SimTask, str], None] = lambda *_: None
        self.unheard: dict[str, float] = {}
        """Time since which a worker's page has not answered, by ARN."""
        self.hung: dict[str, float] = {}
        """Time at which a worker's process froze, by ARN; its lease expires."""
        self.forgotten: dict[str, float] = {}
        """Time at which a worker that answers lost its registration, by ARN."""
        self._numbers: dict[str, int] = {}
        self.lease = float(graph.runtime.lease_seconds)
        for name in FOREIGN:
            self._add_foreign(name)

    def _add_foreign(self, name: str) -> None:
        arn = f"arn:td/{name}:1"
        containers = [{"name": "x", "image": "x:1", "memory": 64, "essential": True}]
        content = {"family": name, "containerDefinitions": containers}
        self.revisions[arn] = Revision(arn, name, 1, content, {"owner": "them"})
        self.services[name] = SimService(
            *(name, "gpu", "", [SimDeployment("ecs-svc/0", arn, None, self.now)]),
            desired=1,
            settings=ServiceSettings(limits=DeploymentLimits(circuit_breaker=False)),
            tags={"owner": "them"},
        )
        self._schedule(self.services[name])

    def ours(self, service: SimService) -> bool:
        return service.name not in FOREIGN

    def address(self, service: SimService, number: int, instance: int | None) -> str:
        """Return a task's address; in host and bridge mode it is that of the instance."""
        component = self._component(service)
        if component is not None and component.network_mode is not NetworkMode.AWSVPC:
            return "" if instance is None else f"10.9.0.{instance}"
        return super().address(service, number, instance)

    def ended(self, service: SimService, task: SimTask, why: str) -> None:
        self.on_end(service, task, why)
        stopped = replace(
            self._task(task),
            last_status="STOPPED",
            desired_status="STOPPED",
            stopped_at=self.now,
            stop_code="UserInitiated" if why == "stopped" else "ServiceSchedulerInitiated",
            stopped_reason="Task stopped by a user"
            if why == "stopped"
            else "Scaling activity initiated by deployment",
        )
        if why == "exit":
            code, reason = self.crashes.get(self._image(task.revision), ("", ""))
            stopped = replace(
                stopped,
                stop_code=code or "EssentialContainerExited",
                stopped_reason=reason or "Essential container in task exited",
            )
        elif why == "loss":
            stopped = replace(
                stopped,
                stop_code="EssentialContainerExited",
                stopped_reason="Essential container in task exited",
            )
        self.stopped_tasks[task.arn] = StoppedTask(service.name, service.cluster, stopped, why)
        if why != "scheduler" and self.is_serving(service, task):
            registration = self._registration(service, task)
            if registration is not None:
                etcd = self._etcd_of(task)
                self.lingering.append((registration, etcd, self.now + self.lease))

    def is_serving(self, service: SimService, task: SimTask) -> bool:
        """Return whether a task serves.

        It runs and has a live etcd, a worker is registered, and a frontend routes to workers.
        """
        component = self._component(service)
        slow = task.slow if component is not None and component.is_worker else 0
        hung = self.now - self.hung.get(task.arn, self.now) >= HUNG_SECONDS
        lost = hung or task.arn in self.forgotten or task.orphaned
        if component is not None and component.is_frontend and not self._routes(task):
            return False
        return self._works(task) and task.age > slow and not lost

    def _registration(self, service: SimService, task: SimTask) -> Registration | None:
        component = self._component(service)
        if component is None or not component.is_worker:
            return None
        name = "prefill" if Role.PREFILL in component.roles else "backend"
        return Registration(
            self._namespace_of(task), name, "generate", int(task.arn[-5:]), task.ip or None
        )

    def registered_at(self, etcd: str) -> tuple[Registration, ...]:
        """Return the registrations in an etcd, including processes that died within a lease."""
        self.lingering = [entry for entry in self.lingering if entry[2] > self.now]
        lingering = tuple(r for r, at, _ in self.lingering if at == etcd)
        lapsed = {lease_of(arn) for arn in self.forgotten} | {
            lease_of(arn) for arn, at in self.hung.items() if self.now - at >= self.lease
        }
        cards = {lease_of(t.arn): self._card(t) for s in self.services.values() for t in s.tasks}
        live = [r for r in self._registrations(etcd) if r.lease_id not in lapsed]
        return (*(replace(r, card=cards[r.lease_id]) for r in live), *lingering)

    def _card(self, task: SimTask) -> ModelCard:
        content = self.revisions[task.revision].content
        page = f"http://{task.ip}:{self.port_of(task)}"
        return ModelCard(page, environment_value(content, ROUTING_ID_VARIABLE))

    def port_of(self, task: SimTask) -> str:
        """Return the worker's system port, which a worker with port 0 chooses itself."""
        declared = self._port(task) or "0"
        return declared if declared != "0" else str(20000 + int(task.arn[-5:]) % 10000)

    def worker_at(self, url: str) -> SimTask | None:
        """Return the worker that answers at an address."""
        return next(
            (
                t
                for _, _, t in self._workers()
                if self._works(t) and url == f"http://{t.ip}:{self.port_of(t)}"
            ),
            None,
        )

    def server_at(self, role: Role, host: str) -> SimTask | None:
        """Return the etcd, NATS or frontend that answers at an address."""
        return next(
            (
                t
                for s in self.services.values()
                if (c := self._component(s)) is not None and role in c.roles
                for t in s.tasks
                if t.age > t.slow and t.age >= 1 and not t.bad and t.ip == host
            ),
            None,
        )

    def routed_by(self, host: str) -> frozenset[int]:
        """Return the lease ids of the workers that the frontend at an address routes to."""
        frontend = self.server_at(Role.FRONTEND, host)
        if frontend is None or frontend.mute:
            return frozenset()
        etcd = self._etcd_of(frontend)
        return frozenset(
            lease_of(t.arn)
            for _, s, t in self._workers()
            if self.is_serving(s, t) and self._etcd_of(t) == etcd
            if self._serves(frontend, self._namespace_of(t))
        )

    def saw_etcd(self, url: str) -> None:
        """Record that an etcd has answered a probe."""
        self.ever_ready.add(url)

    def _live_etcds(self) -> set[str]:
        """Return the etcds that answer; a new one may answer later than it is RUNNING."""
        slow = {
            f"http://{t.ip}:2379"
            for s in self.services.values()
            for t in s.tasks
            if t.age <= t.slow
        }
        return super()._live_etcds() - slow

    def dependants(self, etcd: SimTask) -> list[tuple[SimService, SimTask, bool]]:
        """Return the serving workers and frontends, each with whether it uses this etcd."""
        url = f"http://{etcd.ip}:2379"
        return [
            (s, t, self._etcd_of(t) == url)
            for s in self.services.values()
            if (c := self._component(s)) is not None and not c.is_infrastructure
            for t in s.tasks
            if self.is_serving(s, t)
        ]

    def is_etcd(self, url: str) -> bool:
        return url in self._live_etcds()

    def step(self, seconds: float = 10.0) -> None:
        before = {name: s.failed for name, s in self.services.items()}
        super().step(seconds)
        for name, service in self.services.items():
            if service.failed is not None and before.get(name) is None:
                self.rolled_back[name] = self.now
        self.stopped_tasks = {
            arn: stopped
            for arn, stopped in self.stopped_tasks.items()
            if self.now - (stopped.task.stopped_at or 0.0) < STOPPED_SECONDS
        }

    def register(self, content: JsonObject, tags: Mapping[str, str]) -> Revision:
        """Register the next revision of the content's family."""
        family = str(content["family"])
        number = self._numbers[family] = self._numbers.get(family, 0) + 1
        arn = f"arn:td/{family}:{number}"
        revision = Revision(arn, family, number, content, dict(tags), registered_at=self.now)
        self.revisions[arn] = revision
        self.writes += 1
        return revision

    def deregister(self, arn: str) -> None:
        self.revisions[arn] = replace(self.revisions[arn], active=False)
        self.writes += 1

    def tag_revision(self, arn: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        revision = self.revisions[arn]
        self.revisions[arn] = replace(revision, tags=change(dict(revision.tags)))

    def delete(self, name: str) -> None:
        """Delete a service with its tasks; ECS describes it as INACTIVE for a while."""
        service = self.services.pop(name)
        described = self._service(service)
        self.deleted[name] = replace(
            described, status="INACTIVE", desired=0, running=0, pending=0, deployments=()
        )
        for task in service.tasks:
            self.ended(service, task, "deleted")

    def stop(self, arn: str) -> None:
        """Stop a task with StopTask; its service starts another one."""
        for service in self.services.values():
            for task in [t for t in service.tasks if t.arn == arn]:
                service.tasks.remove(task)
                self.ended(service, task, "stopped")

    def lose_instance(self, number: int) -> None:
        """Remove an instance and its tasks."""
        self.lost.add(number)
        for service in self.services.values():
            for task in [t for t in service.tasks if t.instance == number]:
                service.tasks.remove(task)
                self.ended(service, task, "loss")

    def relocated(self, service: SimService, task: SimTask) -> bool:
        """Return whether the service's revision has another etcd than the task."""
        etcd = environment_value(self.revisions[service.revision].content, "ETCD_ENDPOINTS")
        return self._etcd_of(task) != etcd

    def alike(self, service: SimService, task: SimTask) -> list[SimTask]:
        """Return the other tasks of the same revision at the same address."""
        return [
            t
            for t in service.tasks
            if t is not task and t.ip == task.ip and t.revision == task.revision
        ]

    def free_instances(self) -> int:
        """Return the number of further workers for which there is a GPU."""
        usable = set(range(self.gpu_instances)) - self.drained - self.lost
        return sum(self.gpus_each - self._used_gpus()[number] for number in usable)

    def _used_gpus(self) -> Counter[int | None]:
        """Return the number of GPUs in use by instance."""
        return Counter(
            t.instance
            for s in self.services.values()
            if (c := self._component(s)) is not None and gpus_of(c)
            for t in s.tasks
        )

    def _gpus_used(self) -> set[int | None]:
        """Return the instances without a free GPU."""
        return {number for number, used in self._used_gpus().items() if used >= self.gpus_each}

    def _slot(self, service: SimService) -> int | None:
        slot = super()._slot(service)
        constraints = service.settings.placement_constraints or ()
        if slot is None or all(c.type != "distinctInstance" for c in constraints):
            return slot
        used = {t.instance for t in service.tasks} | self._gpus_used()
        free = set(range(self.gpu_instances)) - used - self.drained - self.lost
        return min(free, default=None)

    def _instances(self) -> tuple[ContainerInstance, ...]:
        used = self._used_gpus()
        return tuple(
            replace(
                i,
                gpus=self.gpus_each,
                gpus_free=max(0, self.gpus_each - used[int(i.arn.rpartition("/")[2])]),
            )
            for i in super()._instances()
        )

    def described(self, name: str) -> Service | None:
        """Return a service as the API describes it, or None if it is unknown."""
        service = self.services.get(name)
        if service is None:
            return self.deleted.get(name)
        described = self._service(service)
        primary = described.deployments[0]
        failed = replace(primary, failed=service.failures)
        rest: tuple[Deployment, ...] = described.deployments[1:]
        if primary.rollout_state == "COMPLETED":
            # ECS lists a failed deployment until its tasks have ended.
            rest = tuple(d for d in rest if d.status != "INACTIVE")
        return replace(described, deployments=(failed, *rest))
