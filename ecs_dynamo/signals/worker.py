"""What workers tell of themselves, at the system port: who has work, and who has had any.

Measured on Dynamo 1.6.1: ``dynamo_component_inflight_requests`` and
``dynamo_component_requests_total`` have the endpoint and, as ``worker_id``, the worker's lease in
hexadecimal. The frontend's own gauges of a worker show prefill tokens, but stay at zero while a
decode worker decodes; so who is asked whether a worker is idle is the worker.

The port may be closed to the daemon. Then the frontends' word has to do, and a worker that gave no
answer in time is left alone for a while, so that passes do not wait for it each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from ecs_dynamo.discovery.exposition import MetricsPage, MetricsReader
from ecs_dynamo.discovery.fetch import FetchError, MalformedError, fetch_metrics

IN_FLIGHT = "dynamo_component_inflight_requests"
SERVED = "dynamo_component_requests_total"
WANTED = frozenset({IN_FLIGHT, SERVED})
PREFIX = "dynamo_component_"
ENDPOINT = "generate"
SILENT_SECONDS = 120.0
"""For how long a worker that gave no answer in time is not asked again."""
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class WorkerWork:
    """By lease id: requests in flight, and whether any was served. ``silent``: did not answer.

    ``malformed`` tells by task ARN of those that answered what cannot be used; they are silent too.
    """

    busy: Mapping[int, float] = field(default_factory=dict)
    served: frozenset[int] = frozenset()
    silent: int = 0
    malformed: Mapping[str, str] = field(default_factory=dict)


def parse_worker(text: str) -> WorkerWork:
    """A worker's Prometheus text. Raises ValueError where it is none."""
    reader = MetricsReader(WANTED, PREFIX)
    reader.feed(text.encode())
    return _work(reader.end())


def _work(page: MetricsPage) -> WorkerWork:
    busy: dict[int, float] = {}
    served: set[int] = set()
    for name, labels, value in page.samples:
        if labels.get("dynamo_endpoint") != ENDPOINT:
            continue
        lease = int(labels.get("worker_id", ""), 16)
        if not 0 < lease < 2**63:
            raise ValueError(f"{name}: the worker_id {labels['worker_id']!r} is no lease of etcd's")
        if name == IN_FLIGHT:
            busy[lease] = busy.get(lease, 0.0) + value
        elif value > 0:
            served.add(lease)
    return WorkerWork(busy, frozenset(served))


class Workers:
    """Asks workers. It remembers only who was silent."""

    def __init__(self) -> None:
        self._silent: dict[str, float] = {}

    async def ask(self, urls: Mapping[str, str], now: float, timeout: float) -> WorkerWork:
        """Ask each task (ARN -> URL), all at once; ``timeout`` in seconds for each."""
        self._silent = {k: at for k, at in self._silent.items() if k in urls}
        asked = [
            k for k in sorted(urls) if now - self._silent.get(k, -SILENT_SECONDS) >= SILENT_SECONDS
        ]
        gate = asyncio.Semaphore(AT_ONCE)
        connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            answers = await asyncio.gather(*(_one(session, gate, urls[k], timeout) for k in asked))
        busy: dict[int, float] = {}
        served: set[int] = set()
        malformed: dict[str, str] = {}
        told = 0
        for arn, answer in zip(asked, answers, strict=True):
            self._silent.pop(arn, None)
            if isinstance(answer, WorkerWork):
                told += 1
                busy |= answer.busy
                served |= answer.served
            elif isinstance(answer, TimeoutError):
                self._silent[arn] = now
            elif isinstance(answer, MalformedError):
                malformed[arn] = str(answer)
        return WorkerWork(busy, frozenset(served), len(urls) - told, malformed)


async def _one(
    session: aiohttp.ClientSession, gate: asyncio.Semaphore, url: str, timeout: float
) -> WorkerWork | Exception:
    page = f"{url}/metrics"
    try:
        async with gate:
            return _work(
                await fetch_metrics(page, WANTED, PREFIX, timeout=timeout, session=session)
            )
    except (FetchError, TimeoutError) as error:
        return error
    except ValueError as error:
        return MalformedError(f"{page}: {error}")
