"""The state of the simulated ECS, and the snapshots that planning gets of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    Registration,
    WorkerPage,
)
from ecs_dynamo.model.dynamo.variables import PREFIX_VARIABLE, SUFFIX_VARIABLE
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import environment_value, surplus
from ecs_dynamo.model.generations import namespace_of
from ecs_dynamo.model.graph import (
    TAG_COMPONENT,
    TAG_GENERATION,
    TAG_GRAPH,
    Component,
    Graph,
    JsonObject,
    Role,
)
from ecs_dynamo.model.plan import (
    AnyAction,
)
from ecs_dynamo.model.service import (
    Deployment,
    Service,
    good_arn,
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
from ecs_dynamo.planning.observed.endpoints import (
    probe_targets,
    reachable_endpoints,
)
from tests.helpers.simulated_services import SimService, SimTask, lease_of


class SimulatedState:
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
        """Image -> stop code and reason of its tasks, which all fail."""
        self.busy: set[str] = set()
        """ARNs of tasks that have work."""
        self.served_by: set[str] = set()
        """ARNs of tasks that a frontend has had an answer from."""
        self.ready_since: dict[str, float] = {}
        """The daemon's memory of replicas, for tests that start it anew in each pass."""
        self.writes = 0
        self.refused: list[tuple[AnyAction, str]] = []
        """Actions that ECS did not carry out, and its reason."""
        self.ever_ready: set[str] = set()
        """Every etcd URL that has answered a probe."""
        self._next = 0
        self.injected_at_start: list[tuple[str, str | None, bool]] = []

    def _fresh(self) -> int:
        self._next += 1
        return self._next

    def _component(self, service: SimService) -> Component | None:
        """Return the graph's component that a service belongs to, in whichever generation."""
        for component in self.graph.components:
            if component.service == service.name:
                return component
        name = service.tags.get(TAG_COMPONENT)
        is_other = name is None or service.tags.get(TAG_GRAPH) != self.graph.name
        if is_other or TAG_GENERATION not in service.tags:
            return None
        return next((c for c in self.graph.components if c.name == name), None)

    def _workers(self) -> Iterator[tuple[Component, SimService, SimTask]]:
        """Yield the tasks of workers of all generations, with their component and service."""
        for service in self.services.values():
            component = self._component(service)
            if component is not None and component.is_worker:
                for task in service.tasks:
                    yield component, service, task

    def _namespace_of(self, task: SimTask) -> str:
        """Return the Dynamo namespace in which a worker registers."""
        content = self.revisions[task.revision].content
        return namespace_of(self.graph.namespace, environment_value(content, SUFFIX_VARIABLE))

    def _serves(self, frontend: SimTask, namespace: str) -> bool:
        """Return whether a frontend serves the workers of a namespace."""
        content = self.revisions[frontend.revision].content
        prefix = environment_value(content, PREFIX_VARIABLE)
        if prefix is None:
            return namespace == self.graph.namespace
        return namespace.startswith(prefix)

    def _gpus_used(self) -> set[int | None]:
        return {
            task.instance
            for service in self.services.values()
            if (component := self._component(service)) is not None and gpus_of(component)
            for task in service.tasks
        }

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
        """Return the identity of the server at ``endpoints``, where processes find each other."""
        return endpoints

    @staticmethod
    def _is_address(url: str) -> bool:
        return url.startswith("http://10.")

    def _started(self, etcd: str) -> float:
        tasks = (t for s in self.services.values() for t in s.tasks)
        return next((t.created_at for t in tasks if f"http://{t.ip}:2379" == etcd), 0.0)

    def _etcd_of(self, task: SimTask) -> str | None:
        """Return the etcd URL that the task uses.

        A name resolves to the newest etcd at the start of the process, which then keeps that etcd,
        because no other has its registration.
        """
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
        """The current time, which is the same on both clocks."""
        return Now.at(self.now)

    def snapshot(self) -> Snapshot:
        """Return a complete snapshot of the current state."""
        components: dict[str, ComponentSnapshot] = {}
        for component in self.graph.components:
            sim = self.services.get(component.service)
            family = [r for r in self.revisions.values() if r.family == component.family]
            latest = max(family, key=lambda r: r.number) if family else None
            if sim is None:
                components[component.name] = ComponentSnapshot(service=None, revision=latest)
                continue
            tasks = tuple(self._task(t) for t in sim.tasks)
            observation = ComponentSnapshot(
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
                    self.ever_ready.add(url)
            components[component.name] = replace(observation, probes=probes)
        declared = {c.service for c in self.graph.components}
        declared |= {d.service for d in self.graph.generations.dormant}
        complete = Snapshot(
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
        etcd = reachable_endpoints(self.graph, complete).etcd
        registered = self._registrations(etcd)
        return replace(complete, registrations=registered, pages=self._pages())

    def _pages(self) -> dict[str, WorkerPage | NoAnswer]:
        """Return the pages of running workers at their system ports; a mute one has none."""
        return {
            f"http://{task.ip}:{self._port(task)}": WorkerPage(
                frozenset({lease_of(task.arn)}), task.created_at + 10
            )
            if self._works(task)
            else NoAnswer("connection refused")
            for _, _, task in self._workers()
            if task.age >= 1
        }

    def _port(self, task: SimTask) -> str | None:
        return environment_value(self.revisions[task.revision].content, "DYN_SYSTEM_PORT")

    def _registrations(self, etcd: str | None) -> tuple[Registration, ...]:
        """Return the registrations in the etcd that answers; one that moved starts empty."""
        return tuple(
            Registration(
                self._namespace_of(task),
                "prefill" if Role.PREFILL in component.roles else "backend",
                "generate",
                lease_of(task.arn),
                task.ip,
            )
            for component, _, task in self._workers()
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
        """Tasks of all generations that work: running, healthy and registered."""
        services = [s for s in self.services.values() if s.component == component]
        return [t for s in services for t in s.tasks if self._works(t) and t.age > t.slow]

    @staticmethod
    def _works(task: SimTask) -> bool:
        return task.age >= 1 and not task.bad and not task.mute

    def _routed(self, frontend_arn: str) -> bool:
        return self._routes(
            next(t for s in self.services.values() for t in s.tasks if t.arn == frontend_arn)
        )

    def _routes(self, frontend: SimTask) -> bool:
        """Return whether a frontend routes to a generation that serves."""
        return not frontend.mute and any(
            self._serves(frontend, namespace)
            for namespace in self.complete_namespaces(self._store(self._etcd_of(frontend)))
        )

    def complete_namespaces(self, etcd: str | None) -> set[str]:
        """Return the namespaces whose workers serve, of those that use an etcd.

        A generation serves with a worker of each declared component. Workers without one share a
        model card here, and it is enough that one of them is there.
        """
        working: dict[str, set[str]] = {}
        for component, _, task in self._workers():
            if self._works(task) and self._store(self._etcd_of(task)) == etcd:
                working.setdefault(self._namespace_of(task), set()).add(component.origin)
        needed = {c.origin for c in self.graph.components if c.is_worker and c.replicas > 0}
        plain = self.graph.namespace
        return {n for n, present in working.items() if n == plain or present >= needed}

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
