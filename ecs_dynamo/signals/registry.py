"""Read every signal of every scaled component concurrently; each may fail without the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, Credentials
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.generations import planner_namespaces
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Observed, Signal, SignalKind, Unknown
from ecs_dynamo.model.spec.scaling import SignalSource
from ecs_dynamo.signals.base import Adapter, MetricReader, SignalContext, SignalError
from ecs_dynamo.signals.cloudwatch import CloudWatchAdapter
from ecs_dynamo.signals.engine import engine_signals
from ecs_dynamo.signals.frontend.adapter import FrontendAdapter
from ecs_dynamo.signals.jetstream import JetStreamAdapter
from ecs_dynamo.signals.planner import PlannerAdapter
from ecs_dynamo.signals.prometheus import PrometheusAdapter
from ecs_dynamo.signals.worker import WorkerLoad

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The signals of one pass and what frontends and workers report about workers.

    ``problems`` maps a component to the sources that could not be read. ``busy`` holds the load in
    progress by worker (lease id), ``served`` the workers that have served a request, and ``routed``
    the workers that each frontend (URL) routes to. ``migrations`` counts requests by kind
    (`Snapshot.migrations`).
    """

    signals: tuple[Signal, ...]
    problems: Mapping[str, str]
    busy: Observed[Mapping[int, float]]
    served: Observed[frozenset[int]]
    routed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    migrations: Mapping[str, float] = field(default_factory=dict)


def add_worker_report(
    measured: Measurement, report: WorkerLoad, *, worker_count: int
) -> Measurement:
    """Add the load that workers report about themselves to what the frontends report about them.

    If the frontends' report is unknown, the workers' own report replaces it only if all of the
    ``worker_count`` workers answered: a silent worker may be busy.
    """
    busy, served = measured.busy, measured.served
    if isinstance(busy, Unknown) or isinstance(served, Unknown):
        if report.silent or not worker_count:
            return measured
        busy, served = {}, frozenset()
    total = dict(busy)
    for lease, load in report.busy.items():
        total[lease] = total.get(lease, 0.0) + load
    return replace(measured, busy=total, served=served | report.served)


def add_engine_signals(
    measured: Measurement, report: WorkerLoad, graph: Graph, at: float
) -> Measurement:
    """Add the signals of engines, observed ``at`` monotonic seconds, if all workers answered.

    Frontends only estimate the use of the KV cache. Their estimate is dropped for components whose
    engines report it.
    """
    if report.silent:
        return measured
    engines = tuple(engine_signals(graph, report.engines, at))
    exact = {s.component for s in engines if s.kind is SignalKind.KV_USAGE}
    estimated = (
        s for s in measured.signals if s.kind is not SignalKind.KV_USAGE or s.component not in exact
    )
    return replace(measured, signals=(*estimated, *engines))


@dataclass(frozen=True, slots=True)
class _DeclaredSignal:
    """One signal source of a component. ``number`` is its index in the component's list."""

    component: Component
    number: int
    source: SignalSource

    @property
    def key(self) -> tuple[str, int]:
        return self.component.name, self.number


def _declared_signals(graph: Graph) -> list[_DeclaredSignal]:
    return [
        _DeclaredSignal(component, number, source)
        # A demand is that of all generations of a component together.
        for component in graph.components
        if not component.declared_name
        for number, source in enumerate(component.scaling.signals if component.scaling else ())
    ]


class SignalReader:
    """Reader of a graph's signals. Between passes it keeps the counters that rates come from.

    It also keeps the last good values with their own time, so that a lost source shows as an
    outdated signal.
    """

    def __init__(self) -> None:
        self._frontend = FrontendAdapter()
        self._adapters: Mapping[str, Adapter] = {
            "frontend": self._frontend,
            "jetstream": JetStreamAdapter(),
            "prometheus": PrometheusAdapter(),
            "cloudwatch": CloudWatchAdapter(),
            "planner": PlannerAdapter(),
        }
        self._last: dict[tuple[str, int], tuple[Signal, ...]] = {}

    async def measure(
        self,
        graph: Graph,
        *,
        frontend_urls: tuple[str, ...],
        endpoints: Endpoints,
        cloudwatch: MetricReader | None,
        now: Now,
        timeout: float,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> Measurement:
        """Read all signals, each within ``timeout`` seconds. Never raises for a source."""

        def context(component: Component) -> SignalContext:
            return SignalContext(
                component,
                planner_namespaces(graph.namespace, graph.generations),
                frontend_urls,
                endpoints,
                cloudwatch,
                now,
                timeout,
                credentials,
            )

        declared = _declared_signals(graph)
        answers = await asyncio.gather(
            *(self._read(signal.source, context(signal.component)) for signal in declared)
        )
        problems: dict[str, list[str]] = {}
        signals: list[Signal] = []
        for signal, answer in zip(declared, answers, strict=True):
            if isinstance(answer, SignalError):
                problem = f"{signal.source.source}: {answer}"
                problems.setdefault(signal.component.name, []).append(problem)
                signals += (*self._last.get(signal.key, ()), *answer.partial)
            else:
                self._last[signal.key] = answer
                signals += answer
        if self._frontend.busy_at != now.monotonic and any(c.is_worker for c in graph.components):
            # No signal reads the frontends' metrics, but draining needs them.
            with suppress(SignalError, TimeoutError):
                await self._frontend.scrape(context(graph.components[0]))
        is_routed_current = self._frontend.routed_at == now.monotonic
        busy: Observed[Mapping[int, float]] = Unknown("no frontend reported it")
        served: Observed[frozenset[int]] = Unknown("no frontend reported it")
        migrations: Mapping[str, float] = {}
        if self._frontend.busy_at == now.monotonic:
            busy, served = dict(self._frontend.busy), self._frontend.served
            migrations = self._frontend.migrations
        return Measurement(
            signals=tuple(signals),
            problems={name: "; ".join(texts) for name, texts in problems.items()},
            busy=busy,
            served=served,
            routed=self._frontend.routed if is_routed_current else {},
            migrations=migrations,
        )

    async def _read(
        self, source: SignalSource, context: SignalContext
    ) -> tuple[Signal, ...] | SignalError:
        try:
            # An adapter may make two calls, each within the timeout.
            async with asyncio.timeout(2 * context.timeout + 1.0):
                return await self._adapters[source.source].read(source, context)
        except SignalError as error:
            return error
        except TimeoutError:
            return SignalError(f"no answer within {2 * context.timeout:.0f} s")
        except Exception as error:
            # An answer that a library fails on must cost only this signal, not the whole pass.
            _log.debug("signal not read", source=source.source, exc_info=True)
            return SignalError(f"the answer cannot be read ({type(error).__name__})")
