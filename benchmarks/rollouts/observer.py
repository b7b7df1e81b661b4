"""Observation from outside the daemon: frontends in rotation, and the workers that they route to.

A frontend names the workers that it routes to in its metrics (``worker_id`` is the lease id of the
registration), from its first request on. Discovery says in which Dynamo namespace, in which role
and at which address each of them is registered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from benchmarks.chaos.graph import HTTP_PORT
from benchmarks.chaos.load import MODEL
from benchmarks.rollouts.graph import ETCD, FRONTEND, WORKERS, Revision, role_of
from ecs_dynamo.discovery.etcd import INSTANCES, open_etcd, parse_registration, read_prefix
from ecs_dynamo.discovery.fetch import fetch_metrics
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.model.dynamo.discovery import Registration
from ecs_dynamo.model.dynamo.registration import SERVED_ENDPOINT
from ecs_dynamo.model.dynamo.variables import SUFFIX_VARIABLE
from ecs_dynamo.model.ecs.task_definition import variable_value
from ecs_dynamo.signals.frontend.page import LAST_RESPONSE_GAUGES, LOAD_GAUGES

OBSERVE_SECONDS = 0.2
TIMEOUT_SECONDS = 2.0
FRESH_SECONDS = 5.0
"""How long a frontend takes to name all of its workers: it names each one at its first request."""
ROLE_OF = {"prefill": "prefill", "backend": "decode"}
"""Dynamo's component name of a registration -> the worker's role."""
Counts = Mapping[str, int]
"""A number of workers by role."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker.

    ``revision`` is the index of its declared revision, -1 if unknown, ``task`` the id of its ECS
    task, empty if unknown, and ``registered_at`` when it was first observed, in seconds since the
    epoch.
    """

    role: str
    namespace: str
    revision: int
    task: str = ""
    registered_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Workers at one moment (monotonic seconds).

    ``routed``: the number by (revision, role) of workers that the frontend with the lowest capacity
    routes to; ``lowest``: the lowest capacity of each role over the frontends.
    """

    at: float
    routed: Mapping[tuple[int, str], int]
    lowest: Counts


def capacity(workers: Sequence[Worker]) -> dict[str, int]:
    """Return how many workers of each role can serve a request.

    A namespace serves only if it has workers of every role.
    """
    roles: dict[str, set[str]] = {}
    for worker in workers:
        roles.setdefault(worker.namespace, set()).add(worker.role)
    serving = [w for w in workers if len(roles[w.namespace]) == len(WORKERS)]
    return {role: sum(w.role == role for w in serving) for role in WORKERS}


def count(workers: Sequence[Worker]) -> dict[tuple[int, str], int]:
    """Return the number of workers by revision and role."""
    result: dict[tuple[int, str], int] = {}
    for worker in workers:
        key = worker.revision, worker.role
        result[key] = result.get(key, 0) + 1
    return result


def namespace_suffix(task: Task) -> str:
    """Return the suffix of the Dynamo namespace of a worker's task; empty if it has none."""
    return variable_value(task.definition.containers[0], SUFFIX_VARIABLE) or ""


class Observer:
    """Samples of frontends and workers. ``revisions`` are those of the case, in order."""

    def __init__(self, local: LocalEcs, revisions: Sequence[Revision]) -> None:
        self._local, self._revisions = local, revisions
        self._failures: dict[str, int] = {}
        """Successive failed probes of each frontend that has listed the model, by task id."""
        self._named: dict[str, frozenset[int]] = {}
        self._named_since: dict[str, float] = {}
        """When each frontend first named a worker, in monotonic seconds."""
        self._registered: dict[str, frozenset[int]] = {}
        """Lease ids by etcd URL, as last read. Workers of a lost etcd continue to serve."""
        self.workers: dict[int, Worker] = {}
        """All workers ever registered, by lease id."""
        self.samples: list[Sample] = []

    def frontends(self) -> list[Task]:
        """Return the frontends in rotation, as a load balancer would choose them.

        A frontend that has listed the model stays in rotation until it fails two successive probes
        or ECS begins to stop it.
        """
        return [
            t
            for t in self._local.state.tasks.values()
            if t.service == FRONTEND and t.alive and self._failures.get(t.id, 2) < 2
        ]

    def rotation(self) -> list[str]:
        """Return the URLs of the frontends in rotation."""
        return [f"http://{t.address}:{HTTP_PORT}" for t in self.frontends()]

    def worker_tasks(self) -> list[tuple[str, Task]]:
        """Return the role and task of each worker that runs or starts."""
        return [
            (role, task)
            for task in self._local.state.tasks.values()
            if task.alive and (role := role_of(task.service or "")) is not None
        ]

    def revision_of(self, task: Task, role: str) -> int:
        """Return the index of the task's declared revision, or -1."""
        container = task.definition.containers[0]
        matching = (i for i, r in enumerate(self._revisions) if r.is_of(container, role))
        return next(matching, -1)

    async def run(self) -> None:
        """Observe until cancelled."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while True:
                frontends = [
                    t
                    for t in self._local.state.tasks.values()
                    if t.service == FRONTEND and t.last_status == "RUNNING" and t.alive
                ]
                await asyncio.gather(
                    *(self._probe(session, task) for task in frontends), self._read_discovery()
                )
                self.samples.append(self._sample())
                await asyncio.sleep(OBSERVE_SECONDS)

    def _sample(self) -> Sample:
        registered = frozenset[int]().union(*self._registered.values())
        naming = [t for t in self.frontends() if t.id in self._named_since]
        fresh = time.monotonic() - FRESH_SECONDS
        settled = [t for t in naming if self._named_since[t.id] < fresh]
        views = [
            [self.workers[lease] for lease in self._named[t.id] & registered]
            for t in settled or naming
        ]
        capacities = [capacity(view) for view in views]
        lowest = {role: min((c[role] for c in capacities), default=0) for role in WORKERS}
        weakest = min(views, key=lambda view: sum(capacity(view).values()), default=[])
        return Sample(time.monotonic(), count(weakest), lowest)

    async def _probe(self, session: aiohttp.ClientSession, task: Task) -> None:
        url = f"http://{task.address}:{HTTP_PORT}"
        try:
            async with session.get(f"{url}/v1/models") as answer:
                models = (await answer.json())["data"] if answer.status == 200 else ()
            if not any(model["id"] == MODEL for model in models):
                raise ValueError("the model is not listed")
            gauges = frozenset(LOAD_GAUGES + LAST_RESPONSE_GAUGES)
            page = await fetch_metrics(
                f"{url}/metrics",
                gauges,
                "dynamo_frontend_",
                timeout=TIMEOUT_SECONDS,
                session=session,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            if task.id in self._failures:
                self._failures[task.id] += 1
            return
        self._failures[task.id] = 0
        labels = (labels.get("worker_id", "") for _, labels, _ in page.samples)
        self._named[task.id] = frozenset(int(text) for text in labels if text.isdigit())
        if self._named[task.id]:
            self._named_since.setdefault(task.id, time.monotonic())

    async def _read_discovery(self) -> None:
        servers = [
            f"http://{t.address}:2379"
            for t in self._local.state.tasks.values()
            if t.service == ETCD and t.alive and t.last_status == "RUNNING"
        ]
        for url in servers:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS), open_etcd(url, 1.0) as client:
                    keys = await read_prefix(client, f"{INSTANCES}/")
                parsed = [parse_registration(pair.key, pair.value) for pair in keys.pairs]
            except (OSError, TimeoutError, ValueError):
                continue
            served = [r for r in parsed if r is not None and r.endpoint == SERVED_ENDPOINT]
            self._registered[url] = frozenset(r.lease_id for r in served)
            for registration in served:
                if registration.lease_id not in self.workers:
                    self.workers[registration.lease_id] = self._worker(registration)

    def _worker(self, registration: Registration) -> Worker:
        role = ROLE_OF.get(registration.component, "")
        matching = [
            task
            for task_role, task in self.worker_tasks()
            if task_role == role
            and task.address == registration.address
            and registration.namespace.endswith(namespace_suffix(task))
        ]
        # If several workers share an address, the newest one has just registered.
        newest = max(matching, key=lambda task: task.created_at, default=None)
        if newest is None:
            return Worker(role, registration.namespace, -1, "", time.time())
        revision = self.revision_of(newest, role)
        return Worker(role, registration.namespace, revision, newest.id, time.time())
