"""Read workers' own metrics at their system port: identity, requests in flight, requests served.

Measured on Dynamo 1.6.1: every ``dynamo_component_*`` series of a worker's page has the label
``worker_id``, the lease id of its registration in hexadecimal. This holds in every network mode, on
both request planes and before the first request. ``dynamo_component_inflight_requests`` and
``dynamo_component_requests_total`` also have the endpoint as a label, and
``dynamo_component_uptime_seconds`` shows when the process started. A frontend's gauges of a worker
exist with the KV router only, so only the worker itself always knows whether it is idle.

A worker counts as ready only with a fresh answer, so all workers are read in each pass:
concurrently, each within a timeout, and all within twice that. Workers that did not answer last
time are read last, so that hung replicas and closed ports take no time from those that answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp

from ecs_dynamo.discovery.exposition import MetricsPage, MetricsReader
from ecs_dynamo.discovery.fetch import (
    FetchError,
    MalformedError,
    StatusError,
    fetch_metrics,
)
from ecs_dynamo.discovery.probe import host_answers
from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    WorkerPage,
)
from ecs_dynamo.signals import engine
from ecs_dynamo.signals.engine import EngineReport

IN_FLIGHT = "dynamo_component_inflight_requests"
SERVED = "dynamo_component_requests_total"
UPTIME = "dynamo_component_uptime_seconds"
METRICS = frozenset({IN_FLIGHT, SERVED, UPTIME})
PREFIX = "dynamo_component_"
ENDPOINT = "generate"
MAX_CONCURRENT = 100


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """The content of one worker's metrics page. ``engine``: None without a named endpoint.

    ``lease_ids`` are those of the process's registrations and ``uptime`` is in seconds. ``busy``
    holds the requests in flight by lease id, ``served`` the lease ids that have served a request.
    """

    lease_ids: frozenset[int] = frozenset()
    uptime: float | None = None
    busy: Mapping[int, float] = field(default_factory=dict)
    served: frozenset[int] = frozenset()
    engine: EngineReport | None = None


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """The load that all workers report.

    ``busy`` holds the requests in flight by lease id, ``served`` the lease ids that have served a
    request. ``silent`` counts the workers without a usable answer. ``pages`` holds the result by
    address, ``malformed`` the error by address of each unusable answer. ``engines`` are the reports
    of the workers that answered.
    """

    busy: Mapping[int, float] = field(default_factory=dict)
    served: frozenset[int] = frozenset()
    silent: int = 0
    pages: Mapping[str, WorkerPage | NoAnswer] = field(default_factory=dict)
    malformed: Mapping[str, str] = field(default_factory=dict)
    engines: tuple[EngineReport, ...] = ()


def parse_worker(text: str) -> WorkerAnswer:
    """Parse a worker's metrics page. Raises ValueError if it is not a valid one."""
    reader = MetricsReader(METRICS, PREFIX, engine.METRICS)
    reader.feed(text.encode())
    return _answer(reader.end())


def _answer(page: MetricsPage) -> WorkerAnswer:
    leases: set[int] = set()
    busy: dict[int, float] = {}
    served: set[int] = set()
    uptime: float | None = None
    component: str | None = None
    for name, labels, value in page.samples:
        if name in engine.METRICS:
            continue
        lease = int(labels.get("worker_id", ""), 16)
        if not 0 < lease < 2**63:
            raise ValueError(f"{name}: the worker_id {labels['worker_id']!r} is not an etcd lease")
        leases.add(lease)
        if name == UPTIME:
            uptime = value
            continue
        if labels.get("dynamo_endpoint") != ENDPOINT:
            continue
        component = labels.get("dynamo_component", component)
        if name == IN_FLIGHT:
            busy[lease] = busy.get(lease, 0.0) + value
        elif value > 0:
            served.add(lease)
    report = None if component is None else engine.read_engine(component, page.samples)
    return WorkerAnswer(frozenset(leases), uptime, busy, frozenset(served), report)


class _NotAskedError(Exception):
    """There was no time left in the pass to read the worker."""


class _UnreachableError(Exception):
    """The worker's host neither accepted nor refused a connection in time."""


@dataclass(frozen=True, slots=True)
class _LastAnswer:
    """The last answer of an address and its time; without an answer, when it was first asked.

    ``at`` is in monotonic seconds. ``silent``: there was no usable answer in the last pass.
    """

    at: float
    page: WorkerPage | None
    silent: bool


class Workers:
    """Reader of workers that remembers each address's last answer, or since when there is none.

    ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, _LastAnswer] = {}

    async def ask(self, urls: Iterable[str], now: float, timeout: float) -> WorkerLoad:
        """Read the page of each address, each within ``timeout`` seconds. ``now``: UTC seconds."""
        addresses = sorted(set(urls), key=lambda url: (self._is_silent(url), url))
        gate = asyncio.Semaphore(MAX_CONCURRENT)
        begun: set[str] = set()
        connector = aiohttp.TCPConnector(limit=MAX_CONCURRENT, force_close=True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            tasks = {
                asyncio.create_task(_read_worker(session, gate, url, timeout, begun)): url
                for url in addresses
            }
            try:
                if tasks:
                    await asyncio.wait(tasks, timeout=2 * timeout)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        answers = {
            url: task.result()
            if not task.cancelled()
            else _UnreachableError(f"{url}: no answer in time")
            if url in begun
            else _NotAskedError(f"{url}: not read, for lack of time")
            for task, url in tasks.items()
        }
        return self._combine(answers, now)

    def _combine(self, answers: Mapping[str, WorkerAnswer | Exception], now: float) -> WorkerLoad:
        busy: dict[int, float] = {}
        served: set[int] = set()
        pages: dict[str, WorkerPage | NoAnswer] = {}
        malformed: dict[str, str] = {}
        last: dict[str, _LastAnswer] = {}
        engines: list[EngineReport] = []
        at = self._clock()
        for url, answer in answers.items():
            if isinstance(answer, WorkerAnswer):
                busy |= answer.busy
                served |= answer.served
                if answer.engine is not None:
                    engines.append(answer.engine)
                started = None if answer.uptime is None else now - answer.uptime
                pages[url] = page = WorkerPage(answer.lease_ids, started)
                last[url] = _LastAnswer(at, page, silent=False)
                continue
            if isinstance(answer, MalformedError):
                malformed[url] = str(answer)
            before = self._last.get(url, _LastAnswer(at, None, silent=True))
            pages[url] = NoAnswer(
                str(answer),
                at - before.at,
                before.page,
                spoke=isinstance(answer, MalformedError | StatusError),
                reached=not isinstance(answer, _UnreachableError | _NotAskedError),
            )
            # A worker that was not read for lack of time does not move to the end of the queue.
            silent = not isinstance(answer, _NotAskedError)
            last[url] = _LastAnswer(before.at, before.page, silent)
        self._last = last
        unanswered = sum(isinstance(page, NoAnswer) for page in pages.values())
        return WorkerLoad(busy, frozenset(served), unanswered, pages, malformed, tuple(engines))

    def _is_silent(self, url: str) -> bool:
        before = self._last.get(url)
        return before is not None and before.silent


async def _read_worker(
    session: aiohttp.ClientSession,
    gate: asyncio.Semaphore,
    url: str,
    timeout: float,
    begun: set[str],
) -> WorkerAnswer | Exception:
    page = f"{url}/metrics"
    try:
        async with gate:
            begun.add(url)
            return _answer(
                await fetch_metrics(
                    page,
                    METRICS,
                    PREFIX,
                    timeout=timeout,
                    session=session,
                    optional=engine.METRICS,
                )
            )
    except (MalformedError, StatusError) as error:
        return error
    except (FetchError, TimeoutError) as error:
        return error if await host_answers(url) else _UnreachableError(str(error))
    except ValueError as error:
        return MalformedError(f"{page}: {error}")
