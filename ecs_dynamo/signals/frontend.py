"""Dynamo's own queue metrics, scraped from every ready frontend and summed.

Names and meanings as measured on Dynamo 1.6.1 (docs/dynamo-protocol.md):
``dynamo_frontend_stage_requests{stage="dispatch",phase}`` counts requests that wait for, or are
at, workers of that phase before the first token: for prefill what is not prefilled yet, for decode
and aggregated workers what waits at the engine. What is past its first token
(``dynamo_frontend_active_requests`` less ``dynamo_frontend_queued_requests``) is still at its
decode or aggregated worker and added there, so that a depth always counts requests that are not
done. Where the router has a queue of its own (``--router-queue-threshold``), waiting moves into
``dynamo_frontend_router_queue_pending_requests{worker_type}``, which is added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from ecs_dynamo.discovery.exposition import MetricsPage, MetricsReader
from ecs_dynamo.discovery.fetch import FetchError, fetch_metrics
from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.signals.base import SignalContext, SignalError

STAGE = "dynamo_frontend_stage_requests"
ROUTER_QUEUE = "dynamo_frontend_router_queue_pending_requests"
ACTIVE = "dynamo_frontend_active_requests"
QUEUED = "dynamo_frontend_queued_requests"
STARTED = "dynamo_frontend_requests_started_total"
FINISHED = "dynamo_frontend_requests_total"
PROMPT_TOKENS = "dynamo_frontend_input_sequence_tokens_sum"
OUTPUT_TOKENS = "dynamo_frontend_output_sequence_tokens_sum"
RATES: Mapping[str, tuple[str, str]] = {
    "arrival_rate": (STARTED, "requests/s"),
    "completion_rate": (FINISHED, "requests/s"),
    "prompt_token_rate": (PROMPT_TOKENS, "tokens/s"),
    "output_token_rate": (OUTPUT_TOKENS, "tokens/s"),
}
"""Signal kind -> (counter, unit of its rate); all of them are the whole graph's."""
WORK = (
    "dynamo_frontend_worker_active_prefill_tokens",
    "dynamo_frontend_worker_active_decode_blocks",
)
ANSWERED = (
    "dynamo_frontend_worker_last_time_to_first_token_seconds",
    "dynamo_frontend_worker_last_inter_token_latency_seconds",
    "dynamo_frontend_worker_last_input_sequence_tokens",
)
"""Gauges of a worker's last answer (Dynamo 1.6.1): above zero once it has given one."""
PREFIX = "dynamo_frontend_"
_WANTED = frozenset(
    {STAGE, *WORK, *ANSWERED, ROUTER_QUEUE, ACTIVE, QUEUED, *(m for m, _ in RATES.values())}
)

PHASES: Mapping[Role, tuple[str, str]] = {
    Role.PREFILL: ("prefill", "prefill"),
    Role.DECODE: ("decode", "decode"),
    Role.WORKER: ("aggregated", "decode"),
}
"""Role -> (``phase`` of the stage metric, ``worker_type`` of the router's queue)."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one frontend said: samples as (metric, labels, value)."""

    url: str
    samples: tuple[tuple[str, Mapping[str, str], float], ...]

    def total(self, metric: str, **labels: str) -> float | None:
        """Sum over matching samples; None where the metric is not there."""
        found = [
            value
            for name, own, value in self.samples
            if name == metric and all(own.get(k) == v for k, v in labels.items())
        ]
        return sum(found) if found else None


def parse_metrics(url: str, text: str) -> Scrape:
    """The samples we use of a Prometheus text exposition. Raises `SignalError`."""
    reader = MetricsReader(_WANTED, PREFIX)
    try:
        reader.feed(text.encode())
        page = reader.end()
    except ValueError as error:
        raise SignalError(f"{url}/metrics: {error}") from None
    return _scrape_of(url, page)


def _scrape_of(url: str, page: MetricsPage) -> Scrape:
    # A frontend that has had no request yet shows its model but no counter: its queue is empty.
    if not page.known:
        raise SignalError(f"{url}/metrics: has none of Dynamo's frontend metrics")
    return Scrape(url, page.samples)


def queue_depth(component: Component, scrapes: Sequence[Scrape]) -> float:
    """Requests that ``component`` is not done with, over all frontends."""
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


def work_by_worker(scrapes: Sequence[Scrape]) -> dict[int, float]:
    """The work in hand by worker id, which is its lease id (Dynamo 1.6.1), over all frontends."""
    found: dict[int, float] = {}
    for scrape in scrapes:
        for name, labels, value in scrape.samples:
            if name in WORK and labels.get("worker_id", "").isdigit():
                worker = int(labels["worker_id"])
                found[worker] = found.get(worker, 0.0) + value
    return found


def answered_workers(scrapes: Sequence[Scrape]) -> frozenset[int]:
    """Worker ids that a frontend has had an answer from."""
    return frozenset(
        int(labels["worker_id"])
        for scrape in scrapes
        for name, labels, value in scrape.samples
        if name in ANSWERED and value > 0 and labels.get("worker_id", "").isdigit()
    )


def routed_workers(scrapes: Sequence[Scrape]) -> dict[str, frozenset[int]]:
    """By frontend, the worker ids that its gauges name: those that it routes to.

    Measured on Dynamo 1.6.1: there are none before the first request; from then on with the KV
    router all workers that were accepted, with other routers those that have answered. A worker
    whose model card was refused is never named.
    """
    return {
        scrape.url: frozenset(
            int(labels["worker_id"])
            for name, labels, _ in scrape.samples
            if name in (*WORK, *ANSWERED) and labels.get("worker_id", "").isdecimal()
        )
        for scrape in scrapes
    }


@dataclass(frozen=True, slots=True)
class _Counter:
    at: float
    values: Mapping[str, float]


@dataclass(slots=True)
class Rates:
    """Rates of counters that may start again from zero, each replica on its own.

    A value below the last one is a restart: what it shows has come since then.
    """

    _last: dict[str, _Counter] = field(default_factory=dict)

    def update(self, metric: str, values: Mapping[str, float], now: float) -> float | None:
        """The summed rate per second since the last call; None for the first."""
        before = self._last.get(metric)
        self._last[metric] = _Counter(now, dict(values))
        if before is None or now <= before.at:
            return None
        grown = 0.0
        for key, value in values.items():
            old = before.values.get(key)
            if old is None:
                continue  # A replica seen for the first time: since when is not known.
            grown += value - old if value >= old else value
        return grown / (now - before.at)


@dataclass(frozen=True, slots=True)
class Look:
    """What the frontends said, and of each that said nothing usable, why."""

    scrapes: tuple[Scrape, ...]
    problems: tuple[str, ...] = ()


class FrontendAdapter:
    """Scrapes once a pass, whatever number of components asks."""

    def __init__(self) -> None:
        self._rates = Rates()
        self.busy: Mapping[int, float] = {}
        self.served: frozenset[int] = frozenset()
        self.busy_at: float | None = None
        self.routed: Mapping[str, frozenset[int]] = {}
        self.routed_at: float | None = None
        self._scraped: tuple[float, asyncio.Task[Look]] | None = None
        self._rate_values: tuple[float, dict[str, float]] | None = None

    async def read(self, source: object, context: SignalContext) -> tuple[Signal, ...]:
        """Queue depth of the component; arrival and completion rate of the graph.

        Where only some of the frontends told, `SignalError` carries what they did: a lower bound.
        """
        del source
        look = await self.look(context)
        scrapes, partial = look.scrapes, bool(look.problems)
        component, now = context.component, context.now.monotonic
        made = [("queue_depth", queue_depth(component, scrapes), "requests")]
        made.append(("in_flight", sum(s.total(ACTIVE) or 0.0 for s in scrapes), "requests"))
        if not partial:
            # Of a part a rate says too little: what is learned from it would be wrong.
            rates = self._graph_rates(scrapes, now)
            made += [(kind, rate, RATES[kind][1]) for kind, rate in rates]
        signals = tuple(
            Signal(component.name, kind, value, unit, now, "frontend", partial=partial)
            for kind, value, unit in made
        )
        if partial:
            raise SignalError("; ".join(look.problems), signals)
        return signals

    async def look(self, context: SignalContext) -> Look:
        """Scrape, and note who is at work and who has served. Raises `SignalError`."""
        if not context.frontend_urls:
            raise SignalError("no frontend is ready to be asked")
        look = await self._scrape(context)
        if not look.scrapes:
            raise SignalError("; ".join(look.problems))
        self.routed, self.routed_at = routed_workers(look.scrapes), context.now.monotonic
        if not look.problems:
            # A worker that seems idle to some of the frontends may be at work for another.
            self.busy = work_by_worker(look.scrapes)
            self.served = answered_workers(look.scrapes)
            self.busy_at = context.now.monotonic
        return look

    def _graph_rates(self, scrapes: Sequence[Scrape], now: float) -> list[tuple[str, float]]:
        if self._rate_values is None or self._rate_values[0] != now:
            rates: dict[str, float] = {}
            for kind, (metric, _) in RATES.items():
                values = {s.url: s.total(metric) or 0.0 for s in scrapes}
                rate = self._rates.update(metric, values, now)
                if rate is not None:
                    rates[kind] = rate
            self._rate_values = (now, rates)
        return list(self._rate_values[1].items())

    async def _scrape(self, context: SignalContext) -> Look:
        if self._scraped is None or self._scraped[0] != context.now.monotonic:
            task = asyncio.ensure_future(_scrape_all(context.frontend_urls, context.timeout))
            self._scraped = (context.now.monotonic, task)
        return await asyncio.shield(self._scraped[1])


async def _scrape_all(urls: Sequence[str], timeout: float) -> Look:
    """Every frontend at once; one that gives no usable answer does not silence the others."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def one(url: str) -> Scrape | str:
            try:
                page = await fetch_metrics(
                    f"{url}/metrics", _WANTED, PREFIX, timeout=timeout, session=session
                )
                return _scrape_of(url, page)
            except (FetchError, TimeoutError, SignalError) as error:
                return str(error)

        answers = await asyncio.gather(*(one(url) for url in urls))
    return Look(
        tuple(a for a in answers if isinstance(a, Scrape)),
        tuple(a for a in answers if isinstance(a, str)),
    )
