"""The reader of the frontends: scrapes all of them once per pass and returns signals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp

from ecs_dynamo.discovery.fetch import FetchError, fetch_metrics
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.signals.base import SignalContext, SignalError
from ecs_dynamo.signals.frontend import rates, requests
from ecs_dynamo.signals.frontend.intervals import Interval, IntervalReader
from ecs_dynamo.signals.frontend.page import METRICS, PREFIX, Scrape, scrape_of
from ecs_dynamo.signals.frontend.workers import (
    load_by_worker,
    responding_workers,
    routed_workers,
)

Value = tuple[SignalKind, float | None, str]
"""Kind, value (None: not measured) and unit of a signal."""


@dataclass(frozen=True, slots=True)
class ScrapeResult:
    """The scrapes of all frontends. ``problems`` explains each frontend without a usable answer.

    ``interval`` ends with these scrapes. It is None if a frontend gave no usable answer, or if
    there is no earlier pass to compare with.
    """

    scrapes: tuple[Scrape, ...]
    problems: tuple[str, ...] = ()
    interval: Interval | None = None


class FrontendAdapter:
    """Reader of the frontends, which are scraped once per pass for all components.

    ``busy``, ``served`` and ``routed`` describe workers (`load_by_worker`, `responding_workers`,
    `routed_workers`); ``busy_at`` and ``routed_at`` are when they were read, in monotonic seconds.
    ``migrations`` (`rates.migrations`) was read with ``busy``.
    """

    def __init__(self) -> None:
        self._intervals = IntervalReader()
        self.busy: Mapping[int, float] = {}
        self.served: frozenset[int] = frozenset()
        self.busy_at: float | None = None
        self.migrations: Mapping[str, float] = {}
        self.routed: Mapping[str, frozenset[int]] = {}
        self.routed_at: float | None = None
        self._scraped: tuple[float, asyncio.Task[ScrapeResult]] | None = None

    async def read(self, source: object, context: SignalContext) -> tuple[Signal, ...]:
        """Return the component's requests and rates, and those of the whole graph.

        Raises `SignalError`. If only some of the frontends answered, the error carries their sums,
        which are lower bounds.
        """
        del source
        result = await self.scrape(context)
        scrapes, partial = result.scrapes, bool(result.problems)
        component, now = context.component, context.now.monotonic
        values = list(_counts(component, scrapes))
        if not partial:
            # A rate over some of the frontends is too low, and the forecast would learn from it.
            values.append((SignalKind.KV_USAGE, requests.kv_usage(component, scrapes), "share"))
            if result.interval is not None:
                values += _rates(component, result.interval)
        signals = tuple(
            Signal(component.name, kind, value, unit, now, "frontend", partial=partial)
            for kind, value, unit in values
            if value is not None
        )
        if partial:
            raise SignalError("; ".join(result.problems), signals)
        return signals

    async def scrape(self, context: SignalContext) -> ScrapeResult:
        """Scrape the frontends and record what they report about workers. Raises `SignalError`."""
        if not context.frontend_urls:
            raise SignalError("no frontend is ready")
        if self._scraped is None or self._scraped[0] != context.now.monotonic:
            self._scraped = (context.now.monotonic, asyncio.ensure_future(self._record(context)))
        result = await asyncio.shield(self._scraped[1])
        if not result.scrapes:
            raise SignalError("; ".join(result.problems))
        return result

    async def _record(self, context: SignalContext) -> ScrapeResult:
        """Scrape the frontends and record the answers, once per pass."""
        result, now = await _scrape_all(context.frontend_urls, context.timeout), context.now
        if result.scrapes:
            self.routed, self.routed_at = routed_workers(result.scrapes), now.monotonic
        if result.problems:
            return result
        # A worker that looks idle to some of the frontends may be busy for another one.
        self.busy = load_by_worker(result.scrapes)
        self.served = responding_workers(result.scrapes)
        self.busy_at = now.monotonic
        interval = self._intervals.advance(result.scrapes, now.monotonic)
        self.migrations = {} if interval is None else rates.migrations(interval)
        return replace(result, interval=interval)


def _counts(component: Component, scrapes: Sequence[Scrape]) -> Iterator[Value]:
    yield SignalKind.QUEUE_DEPTH, requests.queue_depth(component, scrapes), "requests"
    yield SignalKind.IN_FLIGHT, sum(map(requests.active, scrapes)), "requests"
    yield SignalKind.WAITING, requests.waiting(component, scrapes), "requests"
    yield SignalKind.UPSTREAM, requests.upstream(component, scrapes), "requests"


def _rates(component: Component, interval: Interval) -> Iterator[Value]:
    yield SignalKind.ARRIVAL_RATE, rates.arrival_rate(interval), "requests/s"
    yield SignalKind.REJECTION_RATE, rates.rejection_rate(interval), "requests/s"
    yield SignalKind.COMPLETION_RATE, rates.completion_rate(interval), "requests/s"
    prompt_arrival_rate = rates.prompt_arrival_rate(interval, component)
    yield SignalKind.PROMPT_ARRIVAL_RATE, prompt_arrival_rate, "tokens/s"
    yield SignalKind.PROMPT_RATE, rates.prompt_rate(interval), "tokens/s"
    yield SignalKind.OUTPUT_RATE, rates.output_rate(interval), "tokens/s"
    yield SignalKind.ITL, rates.itl_seconds(interval), "seconds"
    yield SignalKind.CACHED_SHARE, rates.cached_share(interval, component), "share"
    spec = component.scaling
    if isinstance(spec, SloScaling) and spec.target_ttft_seconds is not None:
        late = rates.late_share(interval, spec.target_ttft_seconds)
        yield SignalKind.LATE_SHARE, late, "share"


async def _scrape_all(urls: Sequence[str], timeout: float) -> ScrapeResult:
    """Scrape all frontends concurrently; a failure of one does not affect the others."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def scrape(url: str) -> Scrape | str:
            try:
                page = await fetch_metrics(
                    f"{url}/metrics", METRICS, PREFIX, timeout=timeout, session=session
                )
                return scrape_of(url, page)
            except (FetchError, TimeoutError, SignalError) as error:
                return str(error)

        answers = await asyncio.gather(*(scrape(url) for url in urls))
    return ScrapeResult(
        tuple(a for a in answers if isinstance(a, Scrape)),
        tuple(a for a in answers if isinstance(a, str)),
    )
