"""One complete observation: ECS and EC2, then the replicas, Dynamo's registry and the signals.

The order is forced: ECS says which tasks are probed, the probes say which etcd is read, and both
say which frontends are scraped. Within each step, everything runs concurrently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.ecs import observe_effective
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.pass_queries import Expansion
from ecs_dynamo.aws.resources.metrics import newest_data_point
from ecs_dynamo.controller.reconcile.credentials import CredentialReader
from ecs_dynamo.discovery import probe_all, read_registrations
from ecs_dynamo.discovery.credentials import Credentials
from ecs_dynamo.discovery.etcd import Discovery
from ecs_dynamo.discovery.etcd_members import read_views
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.dynamo.discovery import EtcdView
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import (
    Probe,
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning import probe_targets
from ecs_dynamo.planning.desired.generations.expansion import (
    expand,
    expected_services,
    plain_services,
)
from ecs_dynamo.planning.observed.attribution import all_worker_namespaces, page_urls
from ecs_dynamo.planning.observed.endpoints import (
    reachable_endpoints,
    ready_urls,
)
from ecs_dynamo.planning.observed.lookup import known_tasks
from ecs_dynamo.planning.observed.reachability import infrastructure_probes
from ecs_dynamo.signals import SignalReader
from ecs_dynamo.signals.registry import add_engine_signals, add_worker_report
from ecs_dynamo.signals.worker import Workers

PROBE_SECONDS = 3.0
"""Timeout of a probe. Dependants are not started with an endpoint that takes longer to answer."""
MAX_MALFORMED = 50
"""Maximum number of malformed answers that a pass reports."""
_EXPANSION = Expansion(expected_services, plain_services, expand)


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot, with the problems of the observation that the snapshot does not contain.

    ``graph`` is the effective one, to which the snapshot belongs; None if it is as declared.
    ``problems`` are the reasons why signals could not be measured, by component. ``malformed`` are
    unusable answers of replicas and keys of etcd; each names its source.
    """

    snapshot: Snapshot
    problems: Mapping[str, str] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()
    graph: Graph | None = None


class Observer:
    """Observes one graph.

    It keeps only caches, the counters that rates are computed from, and the last report of each
    worker.
    """

    def __init__(
        self,
        aws: Aws,
        cache: GraphCache,
        timeout: float,
        credentials: CredentialReader,
        expansion: Expansion = _EXPANSION,
    ) -> None:
        self._aws = aws
        self._expansion = expansion
        self._cache = cache
        self._timeout = timeout
        self._credentials = credentials
        self._signal_reader = SignalReader()
        self._workers = Workers()
        self._worker_urls: tuple[str, ...] = ()
        self._frontends: dict[tuple[str, Role], str] = {}

    async def observe(self, graph: Graph, now: Now) -> Observation:
        """Observe everything. Never raises: a failed part is `Unknown` in the snapshot."""
        (graph, ecs), credentials = await asyncio.gather(
            observe_effective(
                self._aws, graph, now.wall, self._timeout, self._cache, self._expansion
            ),
            self._credentials.read(graph.security, graph.names),
        )
        probed, external, views = await asyncio.gather(
            self._probe(graph, ecs, credentials),
            self._probe_external(graph, credentials),
            self._views(graph, ecs, credentials),
        )
        snapshot = replace(probed, external=external, etcd_views=views)
        endpoints = reachable_endpoints(graph, snapshot)
        if any(probe.refused for probe in infrastructure_probes(snapshot)):
            self._credentials.reject()
        discovery = await self._registrations(graph, snapshot, endpoints, credentials)
        snapshot = replace(
            snapshot, registrations=discovery.registrations, namespaces=discovery.namespaces
        )
        urls = self._worker_urls = page_urls(graph, snapshot)
        self._frontends = {
            key: probe.url
            for component in snapshot.components.values()
            for key, probe in component.probes.items()
            if key[1] is Role.FRONTEND and probe.healthy
        }
        measured, workers = await asyncio.gather(
            self._signal_reader.measure(
                graph,
                frontend_urls=ready_urls(graph, snapshot, Role.FRONTEND),
                endpoints=endpoints,
                credentials=credentials,
                cloudwatch=partial(newest_data_point, self._aws),
                now=now,
                timeout=PROBE_SECONDS,
            ),
            self._workers.ask(urls, self._aws.clock.now().wall, PROBE_SECONDS),
        )
        measured = add_worker_report(measured, workers, worker_count=len(urls))
        measured = add_engine_signals(measured, workers, graph, now.monotonic)
        snapshot = replace(
            snapshot,
            signals=measured.signals,
            busy=measured.busy,
            served=measured.served,
            routed=measured.routed,
            migrations=measured.migrations,
            pages=workers.pages,
        )
        malformed = (*discovery.malformed, *workers.malformed.values())
        return Observation(snapshot, measured.problems, malformed[:MAX_MALFORMED], graph)

    async def any_silent(self) -> bool:
        """Return whether a worker or frontend that answered in the last pass does not answer now.

        It queries the replicas only, without any AWS call.
        """
        wall = self._aws.clock.now().wall
        workers, frontends = await asyncio.gather(
            self._workers.ask(self._worker_urls, wall, PROBE_SECONDS),
            probe_all(self._frontends, PROBE_SECONDS),
        )
        return workers.silent > 0 or not all(probe.healthy for probe in frontends.values())

    async def _probe(self, graph: Graph, ecs: Snapshot, credentials: Credentials) -> Snapshot:
        targets = {
            component.name: probe_targets(
                graph, component, known_tasks(ecs.components[component.name])
            )
            for component in graph.components
        }
        urls = {key: url for own in targets.values() for key, url in own.items()}
        answers = await self._answers(urls, credentials)
        components = {
            name: replace(component, probes={key: answers[key] for key in targets[name]})
            for name, component in ecs.components.items()
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
        targets = {(url, Role.ETCD): url for url in graph.external_etcd}
        targets |= {(url, Role.NATS): url for url in graph.external_nats}
        answers = await probe_all(targets, PROBE_SECONDS, credentials)
        return {url: answer for (url, _), answer in answers.items()}

    async def _registrations(
        self, graph: Graph, snapshot: Snapshot, endpoints: Endpoints, credentials: Credentials
    ) -> Discovery:
        if endpoints.etcd is None:
            reason = Unknown("no etcd replica answers")
            return Discovery(reason, namespaces=reason)
        return await read_registrations(
            endpoints.etcd,
            graph.namespace,
            PROBE_SECONDS,
            credentials.etcd,
            all_worker_namespaces(graph, snapshot),
        )
