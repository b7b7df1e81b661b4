"""One complete look: ECS and EC2, then the replicas themselves, Dynamo's registry, the signals.

The order is forced: who is probed comes from ECS, whose registry is read comes from the probes,
which frontends are scraped comes from both. Within each step everything runs at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.cache import RevisionCache
from ecs_dynamo.aws.observe.ecs import observe_ecs
from ecs_dynamo.controller.reconcile.credentials import CredentialReader
from ecs_dynamo.discovery import probe, probe_all, read_registrations
from ecs_dynamo.discovery.credentials import Credentials
from ecs_dynamo.discovery.etcd import Discovery
from ecs_dynamo.discovery.etcd_members import read_views
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.discovery import EtcdView
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import (
    Probe,
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning import probe_targets
from ecs_dynamo.planning.observed.attribution import page_urls
from ecs_dynamo.planning.observed.endpoints import (
    reachable_endpoints,
    ready_urls,
)
from ecs_dynamo.planning.observed.lookup import known_tasks
from ecs_dynamo.planning.observed.reachability import infrastructure_probes
from ecs_dynamo.signals import SignalReader
from ecs_dynamo.signals.registry import add_worker_report
from ecs_dynamo.signals.worker import Workers

PROBE_SECONDS = 3.0
"""An endpoint that takes longer than this to answer is not one to start dependants on."""
MALFORMED_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot, and which signals could not be measured, by component.

    ``malformed`` are answers of replicas, and keys of etcd, that cannot be used; each names whose.
    """

    snapshot: Snapshot
    problems: Mapping[str, str] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()


class Observer:
    """Looks at one graph. It keeps only caches, the counters that rates are made from, and what
    each worker said last."""

    def __init__(
        self, aws: Aws, cache: RevisionCache, timeout: float, credentials: CredentialReader
    ) -> None:
        self._aws = aws
        self._cache = cache
        self._timeout = timeout
        self._credentials = credentials
        self._signal_reader = SignalReader()
        self._workers = Workers()
        self._asked: tuple[str, ...] = ()
        self._frontends: dict[tuple[str, Role], str] = {}

    async def observe(self, graph: Graph, now: Now) -> Observation:
        """Look at everything; what fails is `Unknown` in the snapshot, nothing is raised."""
        ecs, credentials = await asyncio.gather(
            observe_ecs(self._aws, graph, now.wall, self._timeout, self._cache),
            self._credentials.read(graph.security, graph.names),
        )
        probed, external, views = await asyncio.gather(
            self._probe(graph, ecs, credentials),
            self._probe_external(graph, credentials),
            self._views(graph, ecs, credentials),
        )
        seen = replace(probed, external=external, etcd_views=views)
        endpoints = reachable_endpoints(graph, seen)
        if any(p.refused for p in infrastructure_probes(seen)):
            self._credentials.reject()
        discovery = await self._registrations(graph, endpoints, credentials)
        seen = replace(seen, registrations=discovery.registrations)
        urls = self._asked = page_urls(graph, seen)
        self._frontends = {
            key: probe.url
            for one in seen.components.values()
            for key, probe in one.probes.items()
            if key[1] is Role.FRONTEND and probe.healthy
        }
        measured, own = await asyncio.gather(
            self._signal_reader.measure(
                graph,
                frontend_urls=ready_urls(graph, seen, Role.FRONTEND),
                endpoints=endpoints,
                credentials=credentials,
                cloudwatch=partial(self._aws.call, "cloudwatch", "GetMetricData"),
                now=now,
                timeout=PROBE_SECONDS,
            ),
            self._workers.ask(urls, self._aws.clock.now().wall, PROBE_SECONDS),
        )
        measured = add_worker_report(measured, own, asked=len(urls))
        measured_too = replace(
            seen,
            signals=measured.signals,
            busy=measured.busy,
            served=measured.served,
            routed=measured.routed,
            pages=own.pages,
        )
        malformed = (*discovery.malformed, *own.malformed.values())
        return Observation(measured_too, measured.problems, malformed[:MALFORMED_SHOWN])

    async def any_silent(self) -> bool:
        """Whether a worker, or a frontend that answered in the last pass, does not answer now.

        Queries the replicas only, without any AWS call.
        """
        wall = self._aws.clock.now().wall
        own, frontends = await asyncio.gather(
            self._workers.ask(self._asked, wall, PROBE_SECONDS),
            probe_all(self._frontends, PROBE_SECONDS),
        )
        return own.silent > 0 or not all(p.healthy for p in frontends.values())

    async def _probe(self, graph: Graph, ecs: Snapshot, credentials: Credentials) -> Snapshot:
        targets: dict[tuple[str, Role], str] = {}
        for component in graph.components:
            tasks = known_tasks(ecs.components[component.name])
            targets |= probe_targets(graph, component, tasks)
        answers = await self._answers(targets, credentials)
        components = {
            name: replace(
                seen,
                probes={
                    key: answers[key]
                    for key in answers
                    if any(task.arn == key[0] for task in known_tasks(seen))
                },
            )
            for name, seen in ecs.components.items()
        }
        return replace(ecs, components=components)

    async def _answers(
        self, targets: Mapping[tuple[str, Role], str], credentials: Credentials
    ) -> Mapping[tuple[str, Role], Probe]:
        return await probe_all(targets, PROBE_SECONDS, credentials)

    async def _views(
        self, graph: Graph, ecs: Snapshot, credentials: Credentials
    ) -> dict[str, EtcdView]:
        servers = {
            arn: url
            for component in graph.etcd_members
            for (arn, _), url in probe_targets(
                graph, component, known_tasks(ecs.components[component.name])
            ).items()
        }
        return await read_views(servers, PROBE_SECONDS, credentials.etcd)

    async def _probe_external(self, graph: Graph, credentials: Credentials) -> dict[str, Probe]:
        asked = [(Role.ETCD, url) for url in graph.external_etcd]
        asked += [(Role.NATS, url) for url in graph.external_nats]
        answers = await asyncio.gather(
            *(probe(role, url, PROBE_SECONDS, credentials) for role, url in asked)
        )
        return {url: answer for (_, url), answer in zip(asked, answers, strict=True)}

    async def _registrations(
        self, graph: Graph, endpoints: Endpoints, credentials: Credentials
    ) -> Discovery:
        if endpoints.etcd is None:
            return Discovery(Unknown("no etcd replica answers"))
        return await read_registrations(
            endpoints.etcd, graph.namespace, PROBE_SECONDS, credentials.etcd
        )
