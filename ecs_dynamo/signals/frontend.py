"""Read Dynamo's queue metrics from every ready frontend and add them up.

The names and meanings were measured on Dynamo 1.6.1 (docs/dynamo-protocol.md).
``dynamo_frontend_stage_requests{stage="dispatch",phase}`` counts requests before their first token
that wait for a worker of that phase or are at one: for prefill, requests that are not prefilled
yet; for decode and aggregated workers, requests that wait at the engine. Requests past their first
token (``dynamo_frontend_active_requests`` minus ``dynamo_frontend_queued_requests``) are still at
their decode or aggregated worker and are added there, so a queue depth always counts all unfinished
requests. If the router has its own queue (``--router-queue-threshold``), waiting requests move to
``dynamo_frontend_router_queue_pending_requests{worker_type}``, which is added too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from ecs_dynamo.discovery.exposition import MetricsPage, MetricsReader, Sample
from ecs_dynamo.discovery.fetch import FetchError, fetch_metrics
from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.signals.base import SignalContext, SignalError

STAGE = "dynamo_frontend_stage_requests"
ROUTER_QUEUE = "dynamo_frontend_router_queue_pending_requests"
ACTIVE = "dynamo_frontend_active_requests"
QUEUED = "dynamo_frontend_queued_requests"
STARTED = "dynamo_frontend_requests_started_total"
FINISHED = "dynamo_frontend_requests_total"
PROMPT_TOKENS = "dynamo_frontend_input_sequence_tokens_sum"
OUTPUT_TOKENS = "dynamo_frontend_output_sequence_tokens_sum"
RATES: Mapping[SignalKind, tuple[str, str]] = {
    SignalKind.ARRIVAL_RATE: (STARTED, "requests/s"),
    SignalKind.COMPLETION_RATE: (FINISHED, "requests/s"),
    SignalKind.PROMPT_RATE: (PROMPT_TOKENS, "tokens/s"),
    SignalKind.OUTPUT_RATE: (OUTPUT_TOKENS, "tokens/s"),
}
"""Signal kind -> (counter, unit of its rate). All of them describe the whole graph."""
LOAD_GAUGES = (
    "dynamo_frontend_worker_active_prefill_tokens",
    "dynamo_frontend_worker_active_decode_blocks",
)
LAST_RESPONSE_GAUGES = (
    "dynamo_frontend_worker_last_time_to_first_token_seconds",
    "dynamo_frontend_worker_last_inter_token_latency_seconds",
    "dynamo_frontend_worker_last_input_sequence_tokens",
)
"""Gauges of a worker's last response (Dynamo 1.6.1): above zero once it has given one."""
PREFIX = "dynamo_frontend_"
_METRICS = frozenset(
    {
        STAGE,
        *LOAD_GAUGES,
        *LAST_RESPONSE_GAUGES,
        ROUTER_QUEUE,
        ACTIVE,
        QUEUED,
        *(counter for counter, _ in RATES.values()),
    }
)

PHASES: Mapping[Role, tuple[str, str]] = {
    Role.PREFILL: ("prefill", "prefill"),
    Role.DECODE: ("decode", "decode"),
    Role.WORKER: ("aggregated", "decode"),
}
"""Role -> (``phase`` of the stage metric, ``worker_type`` of the router's queue)."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one frontend."""

    url: str
    samples: tuple[Sample, ...]

    def total(self, metric: str, **labels: str) -> float | None:
        """Return the sum over the samples that match, or None if there is none."""
        values = [
            value
            for name, sample_labels, value in self.samples
            if name == metric and all(sample_labels.get(k) == v for k, v in labels.items())
        ]
        return sum(values) if values else None


def parse_metrics(url: str, text: str) -> Scrape:
    """Parse a frontend's Prometheus text and keep the samples in use. Raises `SignalError`."""
    reader = MetricsReader(_METRICS, PREFIX)
    try:
        reader.feed(text.encode())
        page = reader.end()
    except ValueError as error:
        raise SignalError(f"{url}/metrics: {error}") from None
    return _scrape_of(url, page)


def _scrape_of(url: str, page: MetricsPage) -> Scrape:
    # Before its first request a frontend shows its model but no counter: its queue is empty.
    if not page.known:
        raise SignalError(f"{url}/metrics: has none of Dynamo's frontend metrics")
    return Scrape(url, page.samples)


def queue_depth(component: Component, scrapes: Sequence[Scrape]) -> float:
    """Return the number of unfinished requests of ``component``, over all frontends."""
    if component.is_frontend and not component.is_worker:
        return sum(s.total(ACTIVE) or 0.0 for s in scrapes)
    depth = 0.0
    for role, (phase, worker_type) in PHASES.items():
        if role in component.roles:
            for scrape in scrapes:
                depth += scrape.total(STAGE, stage="dispatch", phase=phase) or 0.0
                depth += scrape.total(ROUTER_QUEUE, worker_type=worker_type) or 0.0
    if {Role.DECODE, Role.WORKER} & set(component.roles):
        for scrape in scrapes:
            streaming = (scrape.total(ACTIVE) or 0.0) - (scrape.total(QUEUED) or 0.0)
            depth += max(0.0, streaming)
    return depth


def _by_worker(scrape: Scrape, gauges: Collection[str]) -> Iterator[tuple[int, float]]:
    """Yield worker id and value of each sample of ``gauges`` that names a worker."""
    for name, labels, value in scrape.samples:
        if name in gauges and labels.get("worker_id", "").isdecimal():
            yield int(labels["worker_id"]), value


def load_by_worker(scrapes: Sequence[Scrape]) -> dict[int, float]:
    """Return the load in progress by worker id (its lease id, Dynamo 1.6.1), over all frontends."""
    loads: dict[int, float] = {}
    for scrape in scrapes:
        for worker, value in _by_worker(scrape, LOAD_GAUGES):
            loads[worker] = loads.get(worker, 0.0) + value
    return loads


def responding_workers(scrapes: Sequence[Scrape]) -> frozenset[int]:
    """Return the ids of workers that have responded to a request of some frontend."""
    return frozenset(
        worker
        for scrape in scrapes
        for worker, value in _by_worker(scrape, LAST_RESPONSE_GAUGES)
        if value > 0
    )


def routed_workers(scrapes: Sequence[Scrape]) -> dict[str, frozenset[int]]:
    """Return, by frontend URL, the worker ids that its gauges name: those it routes to.

    Measured on Dynamo 1.6.1: a frontend names no worker before its first request. From then on it
    names all accepted workers if it uses the KV router, and those that have responded with other
    routers. A worker whose model card was refused is never named.
    """
    return {
        scrape.url: frozenset(
            worker for worker, _ in _by_worker(scrape, LOAD_GAUGES + LAST_RESPONSE_GAUGES)
        )
        for scrape in scrapes
    }


@dataclass(frozen=True, slots=True)
class _Counter:
    at: float
    values: Mapping[str, float]


@dataclass(slots=True)
class Rates:
    """Rates of counters; each replica's counter may restart from zero.

    A value below the previous one means that the replica restarted: the whole value is new.
    """

    _last: dict[str, _Counter] = field(default_factory=dict)

    def update(self, metric: str, values: Mapping[str, float], now: float) -> float | None:
        """Return the summed rate per second since the last call, or None on the first call.

        ``values`` maps a replica to its counter; ``now`` is in monotonic seconds.
        """
        before = self._last.get(metric)
        self._last[metric] = _Counter(now, dict(values))
        if before is None or now <= before.at:
            return None
        growth = 0.0
        for key, value in values.items():
            previous = before.values.get(key)
            if previous is None:
                continue  # The replica is new: the time span of its count is unknown.
            growth += value - previous if value >= previous else value
        return growth / (now - before.at)


@dataclass(frozen=True, slots=True)
class ScrapeResult:
    """The scrapes of all frontends. ``problems`` explains each frontend without a usable answer."""

    scrapes: tuple[Scrape, ...]
    problems: tuple[str, ...] = ()


class FrontendAdapter:
    """Reader of the frontends, which are scraped once per pass for all components.

    ``busy``, ``served`` and ``routed`` describe workers (`load_by_worker`, `responding_workers`,
    `routed_workers`); ``busy_at`` and ``routed_at`` are when they were read, in monotonic seconds.
    """

    def __init__(self) -> None:
        self._rates = Rates()
        self.busy: Mapping[int, float] = {}
        self.served: frozenset[int] = frozenset()
        self.busy_at: float | None = None
        self.routed: Mapping[str, frozenset[int]] = {}
        self.routed_at: float | None = None
        self._scraped: tuple[float, asyncio.Task[ScrapeResult]] | None = None
        self._rate_values: tuple[float, dict[SignalKind, float]] | None = None

    async def read(self, source: object, context: SignalContext) -> tuple[Signal, ...]:
        """Return the component's queue depth and the graph's requests in flight and rates.

        Raises `SignalError`. If only some of the frontends answered, the error carries their sums,
        which are lower bounds.
        """
        del source
        result = await self.scrape(context)
        scrapes, partial = result.scrapes, bool(result.problems)
        component, now = context.component, context.now.monotonic
        values = [(SignalKind.QUEUE_DEPTH, queue_depth(component, scrapes), "requests")]
        values.append(
            (SignalKind.IN_FLIGHT, sum(s.total(ACTIVE) or 0.0 for s in scrapes), "requests")
        )
        if not partial:
            # A rate over some of the frontends is too low, and the forecast would learn from it.
            rates = self._graph_rates(scrapes, now)
            values += [(kind, rate, RATES[kind][1]) for kind, rate in rates]
        signals = tuple(
            Signal(component.name, kind, value, unit, now, "frontend", partial=partial)
            for kind, value, unit in values
        )
        if partial:
            raise SignalError("; ".join(result.problems), signals)
        return signals

    async def scrape(self, context: SignalContext) -> ScrapeResult:
        """Scrape the frontends and record what they report about workers. Raises `SignalError`."""
        if not context.frontend_urls:
            raise SignalError("no frontend is ready")
        result = await self._scrape_once_per_pass(context)
        if not result.scrapes:
            raise SignalError("; ".join(result.problems))
        self.routed, self.routed_at = routed_workers(result.scrapes), context.now.monotonic
        if not result.problems:
            # A worker that looks idle to some of the frontends may be busy for another one.
            self.busy = load_by_worker(result.scrapes)
            self.served = responding_workers(result.scrapes)
            self.busy_at = context.now.monotonic
        return result

    def _graph_rates(self, scrapes: Sequence[Scrape], now: float) -> list[tuple[SignalKind, float]]:
        if self._rate_values is None or self._rate_values[0] != now:
            rates: dict[SignalKind, float] = {}
            for kind, (metric, _) in RATES.items():
                values = {s.url: s.total(metric) or 0.0 for s in scrapes}
                rate = self._rates.update(metric, values, now)
                if rate is not None:
                    rates[kind] = rate
            self._rate_values = (now, rates)
        return list(self._rate_values[1].items())

    async def _scrape_once_per_pass(self, context: SignalContext) -> ScrapeResult:
        if self._scraped is None or self._scraped[0] != context.now.monotonic:
            task = asyncio.ensure_future(_scrape_all(context.frontend_urls, context.timeout))
            self._scraped = (context.now.monotonic, task)
        return await asyncio.shield(self._scraped[1])


async def _scrape_all(urls: Sequence[str], timeout: float) -> ScrapeResult:
    """Scrape all frontends concurrently; a failure of one does not affect the others."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def scrape(url: str) -> Scrape | str:
            try:
                page = await fetch_metrics(
                    f"{url}/metrics", _METRICS, PREFIX, timeout=timeout, session=session
                )
                return _scrape_of(url, page)
            except (FetchError, TimeoutError, SignalError) as error:
                return str(error)

        answers = await asyncio.gather(*(scrape(url) for url in urls))
    return ScrapeResult(
        tuple(a for a in answers if isinstance(a, Scrape)),
        tuple(a for a in answers if isinstance(a, str)),
    )
