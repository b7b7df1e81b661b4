"""The daemon's observer with answers of the simulation in place of network requests.

Everything that the real observer derives from the answers is still derived by its own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.pass_queries import Expansion
from ecs_dynamo.controller.reconcile.credentials import CredentialReader
from ecs_dynamo.controller.reconcile.observer import Observer
from ecs_dynamo.discovery.credentials import Credentials
from ecs_dynamo.discovery.etcd import Discovery
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Probe, Signal, SignalKind, Snapshot, Unknown
from ecs_dynamo.signals import SignalReader
from ecs_dynamo.signals.registry import Measurement
from ecs_dynamo.signals.worker import WorkerAnswer, WorkerLoad, Workers, _UnreachableError
from tests.helpers.simulated_services import lease_of
from tests.unit.chaos.simulation.account import SimulatedAccount


@dataclass
class Network:
    """Failures of the network between the daemon and the replicas."""

    failing: dict[str, int] = field(default_factory=dict)
    """Number of passes for which a kind of request still fails: probes by role, discovery in etcd
    (``registry``), workers' pages (``pages``), frontends' metrics (``frontends``) and the signal
    (``signal``)."""
    silent: set[str] = field(default_factory=set)
    """ARNs of workers whose page does not answer."""
    demand: float = 0.0
    measured_at: float = 0.0
    """When the signal was last measured, by any process, in monotonic seconds."""

    def fails(self, request: str) -> bool:
        return self.failing.get(request, 0) > 0

    def end_pass(self) -> None:
        self.failing = {k: n - 1 for k, n in self.failing.items() if n > 1}


class _SignalReader(SignalReader):
    """Frontends and one signal, whose last good value stays with its own time."""

    def __init__(self, ecs: SimulatedAccount, network: Network, scaled: str | None) -> None:
        super().__init__()
        self._ecs, self._network, self._scaled = ecs, network, scaled
        self._signals: tuple[Signal, ...] = ()

    async def measure(self, graph: Graph, **arguments: Any) -> Measurement:
        now: Now = arguments["now"]
        urls: tuple[str, ...] = arguments["frontend_urls"]
        if self._scaled is not None and not self._network.fails("signal"):
            demand = self._network.demand
            signal = Signal(self._scaled, SignalKind.QUEUE_DEPTH, demand, "requests", now.monotonic)
            self._signals = (signal,)
            self._network.measured_at = now.monotonic
        served = frozenset(lease_of(arn) for arn in self._ecs.served_by)
        if not urls or self._network.fails("frontends"):
            unknown = Unknown("no frontend reported it")
            return Measurement(self._signals, {}, unknown, unknown)
        routed = {url: self._ecs.routed_by(str(urlsplit(url).hostname)) for url in urls}
        return Measurement(self._signals, {}, {}, served, routed)


class _Workers(Workers):
    def __init__(self, ecs: SimulatedAccount, network: Network, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._ecs, self._network = ecs, network

    async def ask(self, urls: Iterable[str], now: float, timeout: float) -> WorkerLoad:
        answers = {url: self._answer(url, now) for url in sorted(set(urls))}
        return self._combine(answers, now)

    def _answer(self, url: str, now: float) -> WorkerAnswer | Exception:
        task = self._ecs.worker_at(url)
        if task is None:
            return ConnectionRefusedError(f"{url}: connection refused")
        cut_off = self._network.fails("pages") or task.arn in self._network.silent
        if cut_off or task.arn in self._ecs.hung:
            self._ecs.unheard.setdefault(task.arn, self._ecs.now)
            reason = f"{url}: no answer in time"
            return _UnreachableError(reason) if cut_off else TimeoutError(reason)
        self._ecs.unheard.pop(task.arn, None)
        lease = lease_of(task.arn)
        busy = {lease: 5.0} if task.arn in self._ecs.busy else {lease: 0.0}
        served = frozenset({lease} if task.arn in self._ecs.served_by else ())
        return WorkerAnswer(frozenset({lease}), now - task.created_at - 10.0, busy, served)


class SimulatedObserver(Observer):
    """An observer of the simulated account."""

    def __init__(
        self,
        aws: Aws,
        cache: GraphCache,
        credentials: CredentialReader,
        *,
        ecs: SimulatedAccount,
        network: Network,
        scaled: str | None,
        expansion: Expansion | None = None,
    ) -> None:
        super().__init__(aws, cache, 20.0, credentials)
        if expansion is not None:
            self._expansion = expansion
        self._ecs, self._network = ecs, network
        self._signal_reader = _SignalReader(ecs, network, scaled)
        self._workers = _Workers(ecs, network, aws.clock.monotonic)

    async def _answers(
        self, targets: Mapping[tuple[str, Role], str], credentials: Credentials
    ) -> Mapping[tuple[str, Role], Probe]:
        return {key: self._probe_one(key[1], url) for key, url in targets.items()}

    def _probe_one(self, role: Role, url: str) -> Probe:
        if self._network.fails(role.value):
            return Probe(url, healthy=False, detail="no answer in time")
        task = self._ecs.server_at(role, str(urlsplit(url).hostname))
        if task is None:
            return Probe(url, healthy=False, detail="connection refused")
        if role is Role.ETCD:
            self._ecs.saw_etcd(url)
        models = ("m",) if role is Role.FRONTEND and self._ecs._routed(task.arn) else ()
        return Probe(url, healthy=True, models=models)

    async def _registrations(
        self, graph: Graph, snapshot: Snapshot, endpoints: Endpoints, credentials: Credentials
    ) -> Discovery:
        if endpoints.etcd is None:
            return Discovery(Unknown("no etcd replica answers"))
        if self._network.fails("registry") or not self._ecs.is_etcd(endpoints.etcd):
            return Discovery(Unknown(f"{endpoints.etcd}: no answer in time"))
        return Discovery(self._ecs.registered_at(endpoints.etcd))
