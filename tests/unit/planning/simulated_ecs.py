"""A small pure model of ECS and Dynamo: applies actions, moves time on, yields snapshots.

It keeps just the behaviour that planning relies on: deployments within the limits, GPU slots, host
ports, task protection, discovery that lives in one etcd's memory, and processes that exit once
their etcd is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    Registration,
    WorkerPage,
)
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import environment_value, surplus
from ecs_dynamo.model.graph import (
    TAG_GRAPH,
    Component,
    Graph,
    JsonObject,
    Role,
)
from ecs_dynamo.model.plan import (
    AnyAction,
    CreateService,
    DeleteService,
    ProtectTasks,
    RegisterTaskDefinition,
    RetireRevisions,
    RevisionRef,
    SetDesiredCapacity,
    SetInstancesState,
    StopTask,
    TagService,
    TerminateInstance,
    UpdateService,
)
from ecs_dynamo.model.service import (
    Deployment,
    Service,
    good_arn,
)
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    Effect,
    ServiceSettings,
    difference,
    with_effect,
)
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    ContainerInstance,
    Probe,
    Revision,
    Signal,
    Snapshot,
    Task,
)
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning.observed.endpoints import (
    probe_targets,
    reachable_endpoints,
)

EXIT_AFTER_LOST_ETCD = 3
"""Steps that a process serves on without its etcd (27 s in real life)."""


def lease_of(arn: str) -> int:
    """The lease id with which the worker that is the task registers."""
    return int(arn.rpartition("/")[2])


@dataclass
class SimTask:
    arn: str
    revision: str
    ip: str
    age: int = 0
    orphaned: int = 0
    protected_until: float = 0.0
    bad: bool = False
    mute: bool = False
    """It runs and is healthy, and never registers."""
    created_at: float = 0.0
    instance: int | None = None
    slow: int = 0
    etcd: str | None = None
    """The etcd that a name led it to, once it had found one."""
    deployment: str = ""


@dataclass
class SimDeployment:
    id: str
    revision: str
    network: NetworkSpec | None
    created_at: float
    keeps: int = 0
    """Once it is not the newest: how many tasks it still has to have. One that is lost is replaced
    by its own revision, one that ECS stops for the newest is not."""
    completed: bool = False


@dataclass
class SimService:
    name: str
    cluster: str
    component: str
    deployments: list[SimDeployment]
    """The newest, which is in force, first."""
    desired: int
    settings: ServiceSettings
    """Its network is that of the newest deployment."""
    tags: dict[str, str]
    tasks: list[SimTask] = field(default_factory=list)
    previous: SimDeployment | None = None
    failures: int = 0
    failed: SimDeployment | None = None
    unplaced: bool = False
    stopped: list[Task] = field(default_factory=list)

    @property
    def primary(self) -> SimDeployment:
        return self.deployments[0]

    @property
    def revision(self) -> str:
        return self.primary.revision

    @property
    def limits(self) -> DeploymentLimits:
        return self.settings.limits or DeploymentLimits()

    @property
    def minimum(self) -> int:
        return self.limits.minimum_healthy_percent

    @property
    def maximum(self) -> int:
        return self.limits.maximum_percent

    @property
    def rebalancing(self) -> bool:
        return bool(self.settings.availability_zone_rebalancing)

    def change(self, **members: Any) -> None:
        """Somebody changes settings by hand."""
        self.settings = replace(self.settings, **members)

    @property
    def network(self) -> NetworkSpec | None:
        return self.primary.network

    def of(self, deployment: SimDeployment) -> list[SimTask]:
        return [t for t in self.tasks if t.deployment == deployment.id]


class SimulatedEcs:
    """State of the simulated cluster. ``gpu_instances`` is the number of one-GPU instances."""

    def __init__(self, graph: Graph, gpu_instances: int = 6) -> None:
        self.graph = graph
        self.gpu_instances = gpu_instances
        self.now = 1000.0
        self.revisions: dict[str, Revision] = {}
        self.services: dict[str, SimService] = {}
        self.signals: tuple[Signal, ...] = ()
        self.bad_images: set[str] = set()
        self.drained: set[int] = set()
        """Numbers of instances that are DRAINING."""
        self.lost: set[int] = set()
        """Numbers of instances that are gone."""
        self.notices: dict[str, Notice] = {}
        self.slow = 0
        """Steps for which a worker that starts now runs before it registers."""
        self.mute_images: set[str] = set()
        self.crashes: dict[str, tuple[str, str]] = {}
        """Image -> stop code and reason that ECS tells of its tasks, which all fail."""
        self.busy: set[str] = set()
        """ARNs of tasks that have work."""
        self.served_by: set[str] = set()
        """ARNs of tasks that a frontend has had an answer from."""
        self.ready_since: dict[str, float] = {}
        """What the daemon remembers of replicas, where a test has it start anew in each pass."""
        self.writes = 0
        self.refused: list[tuple[AnyAction, str]] = []
        """Actions that ECS did not carry out, and its reason."""
        self._next = 0
        self.injected_at_start: list[tuple[str, str | None, bool]] = []

    def _fresh(self) -> int:
        self._next += 1
        return self._next

    # Acting -------------------------------------------------------------------------------

    def apply(self, action: AnyAction) -> None:
        """Do what the executor would; each action may be applied twice."""
        self.writes += 1
        match action:
            case RegisterTaskDefinition():
                self._register(action)
            case CreateService():
                self._create(action)
            case UpdateService():
                self._update(action)
            case ProtectTasks():
                self._protect(action)
            case StopTask():
                service = self.services[action.service]
                service.tasks = [t for t in service.tasks if t.arn != action.task]
            case TagService():
                service = self.services[action.service]
                service.tags = self._retagged(service.tags, action)
                if action.revision is not None:
                    known = self.revisions[action.revision]
                    tags = self._retagged(known.tags, action)
                    self.revisions[action.revision] = replace(known, tags=tags)
            case SetInstancesState(claim=False):
                self.drained |= {int(arn.rpartition("/")[2]) for arn in action.instances}
            case RetireRevisions():
                self._retire(action)
            case DeleteService():
                self.services.pop(action.service, None)
            case SetDesiredCapacity() | SetInstancesState() | TerminateInstance():
                raise AssertionError("no graph here declares an Auto Scaling group")

    def _protect(self, action: ProtectTasks) -> None:
        """A task that has ended is left out. More protected tasks than the desired count are
        refused (ECS developer guide, task scale-in protection): in `refused`, with the cause."""
        for service in self.services.values():
            for task in service.tasks if service.cluster == action.cluster else ():
                if task.arn not in action.tasks:
                    continue
                held = {t.arn for t in service.tasks if t.protected_until > self.now} | {task.arn}
                if action.minutes and len(held) > service.desired:
                    self.refused.append((action, "DEPLOYMENT_BLOCKED"))
                    continue
                task.protected_until = self.now + action.minutes * 60 if action.minutes else 0.0

    def execute(self, actions: Iterable[AnyAction], *, twice: bool = True) -> None:
        """Apply the actions as the executor does: one that is refused ends those of its component.

        ``twice``: as with a call that is retried after it took effect.
        """
        broken: set[str] = set()
        for action in actions:
            for _ in range(1 + twice):
                if action.component not in broken:
                    before = len(self.refused)
                    self.apply(action)
                    if len(self.refused) > before:
                        broken.add(action.component)

    @staticmethod
    def _retagged(tags: Mapping[str, str], action: TagService) -> dict[str, str]:
        return {k: v for k, v in tags.items() if k not in action.remove_tags} | dict(
            action.set_tags
        )

    def _register(self, action: RegisterTaskDefinition) -> None:
        same = [r for r in self.revisions.values() if r.family == action.family]
        latest = max((r for r in same if r.active), key=lambda r: r.number, default=None)
        if latest is not None and latest.fingerprint == action.fingerprint:
            return
        number = max((r.number for r in same), default=0) + 1
        arn = f"arn:td/{action.family}:{number}"
        self.revisions[arn] = Revision(
            arn, action.family, number, action.content, dict(action.tags)
        )

    def _retire(self, action: RetireRevisions) -> None:
        for arn in action.arns:
            if arn not in self.revisions:
                continue
            users = [
                s for s in self.services.values() if arn in {d.revision for d in s.deployments}
            ]
            assert not users, f"{arn} is in use"
            assert arn not in {t.revision for s in self.services.values() for t in s.tasks}
            del self.revisions[arn]

    def _arn(self, ref: RevisionRef) -> str:
        """The revision that a service is set to; ECS takes ACTIVE ones only."""
        if ref.arn is not None:
            assert self.revisions[ref.arn].active, f"{ref.arn} is inactive"
            return ref.arn
        return next(
            r.arn
            for r in sorted(self.revisions.values(), key=lambda r: -r.number)
            if r.family == ref.family and r.fingerprint == ref.fingerprint and r.active
        )

    def _create(self, action: CreateService) -> None:
        if action.service in self.services:
            return
        self.services[action.service] = SimService(
            name=action.service,
            cluster=action.cluster,
            component=action.component,
            deployments=[self._deployment(self._arn(action.revision), action.settings.network)],
            desired=action.desired,
            settings=action.settings,
            tags=dict(action.tags),
        )
        self._check(self.services[action.service])

    def _deployment(self, revision: str, network: NetworkSpec | None) -> SimDeployment:
        return SimDeployment(f"ecs-svc/{self._fresh()}", revision, network, self.now)

    def _deploy(self, service: SimService, revision: str, network: NetworkSpec | None) -> None:
        assert len(service.deployments) < 5, "5 active deployments exist"
        former = service.primary
        former.keeps = len(service.of(former))
        service.failures = 0
        service.deployments.insert(0, self._deployment(revision, network))

    @staticmethod
    def _check(service: SimService) -> None:
        """What ECS refuses."""
        assert not service.rebalancing or service.maximum > 100, (
            "Availability Zone Rebalancing does not support maximumPercent <= 100 %"
        )

    def _update(self, action: UpdateService) -> None:
        service = self.services[action.service]
        assert service.tags.get(TAG_GRAPH) == self.graph.name, "a foreign service was touched"
        if action.desired is not None:
            if len(service.deployments) > 1:  # "applies scale-out to both service revisions".
                service.deployments[1].keeps += max(0, action.desired - service.desired)
            service.desired = action.desired
        arn = self._arn(action.revision) if action.revision is not None else service.revision
        settings = service.settings.updated(action.settings)
        moved = with_effect(difference(service.settings, settings), Effect.NEW_DEPLOYMENT)
        if arn != service.revision or moved.members:
            service.previous, service.failed = service.primary, None
            self._deploy(service, arn, settings.network)
        service.settings = settings
        self._check(service)

    # Time ---------------------------------------------------------------------------------

    def step(self, seconds: float = 10.0) -> None:
        """Let the service scheduler and Dynamo live for a while."""
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

    def ended(self, service: SimService, task: SimTask, why: str) -> None:
        """A task has ended: its process exited (``exit``), it was lost (``loss``), or ECS stopped
        it for a deployment, a scale-in or an instance that leaves (``scheduler``). For those who
        want to know."""

    def _note_crash(self, service: SimService, task: SimTask) -> None:
        code, reason = self.crashes.get(self._image(task.revision), ("", ""))
        if code:
            gone = replace(self._task(task), last_status="STOPPED", desired_status="STOPPED")
            told = replace(gone, stopped_at=self.now, stop_code=code, stopped_reason=reason)
            service.stopped.append(told)

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
        """Lost tasks of "the currently running version", which is one that was complete, come back
        "using the same service revision they belong to" (AWS, November 2025), before those of the
        newest are looked at."""
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
        """Its instance is DRAINING."""
        return task.instance in self.drained

    def _fits(self, service: SimService) -> bool:
        return self._on_fargate(service) or self._slot(service) is not None

    def _on_fargate(self, service: SimService) -> bool:
        component = self._component(service)
        return component is None or component.launch_type == "FARGATE"

    def _slot(self, service: SimService) -> int | None:
        """An instance for one more task: one GPU slot and one host port on each."""
        component = self._component(service)
        if self._on_fargate(service):
            return None
        taken = {t.instance for t in service.tasks} if not gpus_of(component) else self._gpus_used()
        free = set(range(self.gpu_instances)) - taken - self.drained - self.lost
        return min(free, default=None)

    def _component(self, service: SimService):  # type: ignore[no-untyped-def]
        return next((c for c in self.graph.components if c.service == service.name), None)

    def _gpus_used(self) -> set[int | None]:
        return {
            task.instance
            for service in self.services.values()
            if (component := self._component(service)) is not None and gpus_of(component)
            for task in service.tasks
        }

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
        """Where a new task is reached: here each has an address of its own."""
        return f"10.0.{number // 250}.{number % 250 + 1}"

    @property
    def ever_ready(self) -> set[str]:
        """Every etcd URL that answered a probe so far."""
        return self._ever_ready

    _ever_ready: set[str] = set()  # noqa: RUF012 (reset by snapshot's owner below)

    def kill(self, component: str, index: int = 0) -> None:
        """A task dies; the scheduler will replace it at another address."""
        service = next((s for s in self.services.values() if s.component == component), None)
        if service and service.tasks:
            self.ended(service, service.tasks.pop(index % len(service.tasks)), "loss")

    # Observing ----------------------------------------------------------------------------

    def _tasks(self, cluster: str) -> list[SimTask]:
        return [t for s in self.services.values() if s.cluster == cluster for t in s.tasks]

    def _live_etcds(self) -> set[str]:
        return {
            f"http://{t.ip}:2379"
            for s in self.services.values()
            if s.component == "etcd-nats"
            for t in s.tasks
            if t.age >= 1
        }

    def _store(self, endpoints: str | None) -> str | None:
        """Who is reached at ``endpoints``: processes find each other where it is the same."""
        return endpoints

    @staticmethod
    def _is_address(url: str) -> bool:
        return url.startswith("http://10.")

    def _started(self, etcd: str) -> float:
        tasks = (t for s in self.services.values() for t in s.tasks)
        return next((t.created_at for t in tasks if f"http://{t.ip}:2379" == etcd), 0.0)

    def _etcd_of(self, task: SimTask) -> str | None:
        """A name leads to the newest etcd, and to that one for as long as the process lives: what
        it has registered is in no other."""
        url = environment_value(self.revisions[task.revision].content, "ETCD_ENDPOINTS")
        return url if url is None or self._is_address(url) else task.etcd

    def _service(self, sim: SimService) -> Service:
        primary = sim.of(sim.primary)
        running = sum(t.age >= 1 for t in primary)
        done = running == sim.desired and len(primary) == len(sim.tasks)
        deployments = [
            Deployment(
                sim.primary.id,
                "PRIMARY",
                sim.revision,
                sim.desired,
                running,
                len(primary) - running,
                rollout_state="COMPLETED" if done else "IN_PROGRESS",
                created_at=sim.primary.created_at,
            )
        ]
        deployments += [
            Deployment(
                d.id,
                "ACTIVE",
                d.revision,
                d.keeps,
                sum(t.age >= 1 for t in sim.of(d)),
                sum(t.age < 1 for t in sim.of(d)),
                created_at=d.created_at,
            )
            for d in sim.deployments[1:]
        ]
        if sim.failed is not None:
            deployments.append(
                Deployment(
                    "d-failed",
                    "INACTIVE",
                    sim.failed.revision,
                    0,
                    0,
                    0,
                    failed=3,
                    rollout_state="FAILED",
                    network=sim.failed.network,
                )
            )
        return Service(
            arn=f"arn:service/{sim.name}",
            name=sim.name,
            cluster=sim.cluster,
            status="ACTIVE",
            desired=sim.desired,
            running=sum(t.age >= 1 for t in sim.tasks),
            pending=sum(t.age < 1 for t in sim.tasks),
            task_definition_arn=sim.revision,
            deployments=tuple(d for d in deployments if d.id != "d-failed")
            if done and sim.failed is None
            else tuple(deployments),
            tags=sim.tags,
            settings=sim.settings,
            events=(f"(service {sim.name}) was unable to place a task because",)
            if sim.unplaced
            else (),
        )

    @property
    def clock(self) -> Now:
        """This moment, which both clocks read alike."""
        return Now.at(self.now)

    def snapshot(self) -> Snapshot:
        """A complete look at the present state."""
        components: dict[str, ComponentSnapshot] = {}
        for component in self.graph.components:
            sim = self.services.get(component.service)
            family = [r for r in self.revisions.values() if r.family == component.family]
            latest = max(family, key=lambda r: r.number) if family else None
            if sim is None:
                components[component.name] = ComponentSnapshot(service=None, revision=latest)
                continue
            tasks = tuple(self._task(t) for t in sim.tasks)
            seen = ComponentSnapshot(
                service=self._service(sim),
                tasks=tasks,
                revision=latest,
                revisions={r.arn: r for r in family},
                stopped=tuple(sim.stopped),
                surplus=self._surplus(component, sim),
            )
            probes = {}
            for (arn, role), url in probe_targets(self.graph, component, tasks).items():
                models = ("m",) if role is Role.FRONTEND and self._routed(arn) else ()
                probes[arn, role] = Probe(url, True, models=models)
                if role is Role.ETCD:
                    self._ever_ready = self._ever_ready | {url}
            components[component.name] = replace(seen, probes=probes)
        declared = {c.service for c in self.graph.components}
        seen_all = Snapshot(
            graph=self.graph.name,
            observed_at=self.now,
            components=components,
            clusters=dict.fromkeys(self.graph.clusters, True),
            container_instances={"gpu": self._instances()},
            orphans=tuple(
                self._service(s)
                for s in self.services.values()
                if s.name not in declared and s.tags.get(TAG_GRAPH) == self.graph.name
            ),
            signals=self.signals,
            busy={lease_of(arn): 5.0 for arn in self.busy},
            notices=self.notices,
            served=frozenset(lease_of(arn) for arn in self.served_by),
        )
        etcd = reachable_endpoints(self.graph, seen_all).etcd
        registered = self._registrations(etcd)
        return replace(seen_all, registrations=registered, pages=self._pages())

    def _pages(self) -> dict[str, WorkerPage | NoAnswer]:
        """What each worker that runs answers at its system port; a mute one is none of Dynamo's."""
        return {
            f"http://{task.ip}:{self._port(task)}": WorkerPage(
                frozenset({lease_of(task.arn)}), task.created_at + 10
            )
            if self._works(task)
            else NoAnswer("connection refused")
            for component in self.graph.components
            if component.is_worker and (sim := self.services.get(component.service)) is not None
            for task in sim.tasks
            if task.age >= 1
        }

    def _port(self, task: SimTask) -> str | None:
        return environment_value(self.revisions[task.revision].content, "DYN_SYSTEM_PORT")

    def _registrations(self, etcd: str | None) -> tuple[Registration, ...]:
        """What the etcd that answers has; one that moved has nothing of the former."""
        return tuple(
            Registration(
                self.graph.namespace,
                "prefill" if Role.PREFILL in component.roles else "backend",
                "generate",
                lease_of(task.arn),
                task.ip,
            )
            for component in self.graph.components
            if component.is_worker and (sim := self.services.get(component.service)) is not None
            for task in sim.tasks
            if self._works(task) and self._store(self._etcd_of(task)) == self._store(etcd)
            if task.age > task.slow
        )

    def _surplus(self, component: Component, sim: SimService) -> tuple[str, ...]:
        family = [r.arn for r in self.revisions.values() if r.family == component.family]
        good = good_arn(self._service(sim))
        deployed = (d.revision for d in sim.deployments)
        needed = {good or "", *deployed, *(t.revision for t in sim.tasks)}
        return surplus(family, component.rollout.keep_revisions, needed)

    def serving(self, component: str) -> list[SimTask]:
        """Tasks that work: running, healthy and registered."""
        service = next(s for s in self.services.values() if s.component == component)
        return [t for t in service.tasks if self._works(t) and t.age > t.slow]

    @staticmethod
    def _works(task: SimTask) -> bool:
        return task.age >= 1 and not task.bad and not task.mute

    def _routed(self, frontend_arn: str) -> bool:
        frontend = next(t for s in self.services.values() for t in s.tasks if t.arn == frontend_arn)
        etcd = self._store(self._etcd_of(frontend))
        return not frontend.mute and any(
            self._works(t) and self._store(self._etcd_of(t)) == etcd
            for s in self.services.values()
            if s.component in {"prefill", "decode"}
            for t in s.tasks
        )

    def served(self) -> bool:
        """Whether some frontend could answer a request right now."""
        return any(
            t.age >= 1 and not t.bad and self._routed(t.arn)
            for s in self.services.values()
            if s.component == "frontend"
            for t in s.tasks
        )

    def _task(self, task: SimTask) -> Task:
        live = task.age >= 1
        return Task(
            arn=task.arn,
            task_definition_arn=task.revision,
            last_status="RUNNING" if live else "PENDING",
            desired_status="RUNNING",
            health="UNHEALTHY" if task.bad else "HEALTHY",
            private_ip=task.ip,
            container_instance_arn=None if task.instance is None else f"arn:ci/{task.instance}",
            created_at=task.created_at,
            started_at=task.created_at + 10 if live else None,
            protected_until=task.protected_until or None,
            deployment=task.deployment,
        )

    def _instances(self) -> tuple[ContainerInstance, ...]:
        used = self._gpus_used()
        return tuple(
            ContainerInstance(
                arn=f"arn:ci/{i}",
                ec2_instance_id=f"i-{i}",
                status="DRAINING" if i in self.drained else "ACTIVE",
                agent_connected=True,
                private_ip=f"10.9.0.{i}",
                gpus=1,
                gpus_free=0 if i in used else 1,
                cpu_free=8192,
                memory_free=16384,
            )
            for i in range(self.gpu_instances)
            if i not in self.lost
        )

    def content_of(self, service: str) -> JsonObject:
        """The task definition a service is set to."""
        return self.revisions[self.services[service].revision].content
