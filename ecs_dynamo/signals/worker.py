"""What workers tell of themselves, at the system port: who they are, who has work, who has had any.

Measured on Dynamo 1.6.1: every series ``dynamo_component_*`` of a worker's page has ``worker_id``,
the lease id of its registration in hexadecimal, in every network mode, on both request planes and
before the first request. ``dynamo_component_inflight_requests`` and
``dynamo_component_requests_total`` have the endpoint too, and ``dynamo_component_uptime_seconds``
tells when the process started. The frontend's own gauges of a worker show prefill tokens, but stay
at zero while a decode worker decodes; so who is asked whether a worker is idle is the worker.

A worker is ready only by a fresh answer, so each is asked in each pass: all at once, each within a
timeout, and all within twice that. Who did not answer last time is asked last, so that replicas
that hang, or a closed port, take no time from those that answer.
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
from ecs_dynamo.model.snapshot import NoAnswer, WorkerPage

IN_FLIGHT = "dynamo_component_inflight_requests"
SERVED = "dynamo_component_requests_total"
UPTIME = "dynamo_component_uptime_seconds"
WANTED = frozenset({IN_FLIGHT, SERVED, UPTIME})
PREFIX = "dynamo_component_"
ENDPOINT = "generate"
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """One page: lease ids of the process's registrations, its uptime in seconds, and by lease id
    the requests in flight and whether any was served."""

    lease_ids: frozenset[int] = frozenset()
    uptime: float | None = None
    busy: Mapping[int, float] = field(default_factory=dict)
    served: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """Of all who were asked, by lease id: requests in flight, and whether any was served.

    ``silent``: how many did not answer. ``pages``: what each address answered. ``malformed`` tells
    by address of those that answered what cannot be used; they are silent too.
    """

    busy: Mapping[int, float] = field(default_factory=dict)
    served: frozenset[int] = frozenset()
    silent: int = 0
    pages: Mapping[str, WorkerPage | NoAnswer] = field(default_factory=dict)
    malformed: Mapping[str, str] = field(default_factory=dict)


def parse_worker(text: str) -> WorkerAnswer:
    """A worker's Prometheus text. Raises ValueError where it is none."""
    reader = MetricsReader(WANTED, PREFIX)
    reader.feed(text.encode())
    return _answer(reader.end())


def _answer(page: MetricsPage) -> WorkerAnswer:
    leases: set[int] = set()
    busy: dict[int, float] = {}
    served: set[int] = set()
    uptime: float | None = None
    for name, labels, value in page.samples:
        lease = int(labels.get("worker_id", ""), 16)
        if not 0 < lease < 2**63:
            raise ValueError(f"{name}: the worker_id {labels['worker_id']!r} is no lease of etcd's")
        leases.add(lease)
        if name == UPTIME:
            uptime = value
        elif labels.get("dynamo_endpoint") != ENDPOINT:
            continue
        elif name == IN_FLIGHT:
            busy[lease] = busy.get(lease, 0.0) + value
        elif value > 0:
            served.add(lease)
    return WorkerAnswer(frozenset(leases), uptime, busy, frozenset(served))


class _NotAskedError(Exception):
    """The pass had no time left for it."""


class _UnreachableError(Exception):
    """Its host neither accepted nor refused a connection in time."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last answer of an address, and when it was, or when it was first asked in vain."""

    at: float
    page: WorkerPage | None
    silent: bool


class Workers:
    """Asks workers. Of each address it remembers the last answer, and since when there is none.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    async def ask(self, urls: Iterable[str], now: float, timeout: float) -> WorkerLoad:
        """Ask each address. ``now`` in UTC seconds, ``timeout`` in seconds for each."""
        wanted = sorted(set(urls), key=lambda url: (self._is_silent(url), url))
        gate = asyncio.Semaphore(AT_ONCE)
        begun: set[str] = set()
        connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            asking = {
                asyncio.create_task(_one(session, gate, url, timeout, begun)): url for url in wanted
            }
            try:
                if asking:
                    await asyncio.wait(asking, timeout=2 * timeout)
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
        answers = {
            url: task.result()
            if not task.cancelled()
            else _UnreachableError(f"{url}: no answer in time")
            if url in begun
            else _NotAskedError(f"{url}: there was no time to ask it")
            for task, url in asking.items()
        }
        return self._take(answers, now)

    def _take(self, answers: Mapping[str, WorkerAnswer | Exception], now: float) -> WorkerLoad:
        busy: dict[int, float] = {}
        served: set[int] = set()
        pages: dict[str, WorkerPage | NoAnswer] = {}
        malformed: dict[str, str] = {}
        seen: dict[str, _Seen] = {}
        at = self._clock()
        for url, answer in answers.items():
            if isinstance(answer, WorkerAnswer):
                busy |= answer.busy
                served |= answer.served
                started = None if answer.uptime is None else now - answer.uptime
                pages[url] = page = WorkerPage(answer.lease_ids, started)
                seen[url] = _Seen(at, page, silent=False)
                continue
            if isinstance(answer, MalformedError):
                malformed[url] = str(answer)
            before = self._seen.get(url, _Seen(at, None, silent=True))
            pages[url] = NoAnswer(
                str(answer),
                at - before.at,
                before.page,
                spoke=isinstance(answer, MalformedError | StatusError),
                reached=not isinstance(answer, _UnreachableError | _NotAskedError),
            )
            # Who was not even asked, for want of time, is not put behind those that were.
            seen[url] = _Seen(before.at, before.page, silent=not isinstance(answer, _NotAskedError))
        self._seen = seen
        silent = sum(isinstance(page, NoAnswer) for page in pages.values())
        return WorkerLoad(busy, frozenset(served), silent, pages, malformed)

    def _is_silent(self, url: str) -> bool:
        before = self._seen.get(url)
        return before is not None and before.silent


async def _one(
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
                await fetch_metrics(page, WANTED, PREFIX, timeout=timeout, session=session)
            )
    except (MalformedError, StatusError) as error:
        return error
    except (FetchError, TimeoutError) as error:
        return error if await host_answers(url) else _UnreachableError(str(error))
    except ValueError as error:
        return MalformedError(f"{page}: {error}")
