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
from prometheus_client.parser import text_string_to_metric_families

IN_FLIGHT = "dynamo_component_inflight_requests"
SERVED = "dynamo_component_requests_total"
ENDPOINT = "generate"
SILENT_SECONDS = 120.0
"""For how long a worker that gave no answer in time is not asked again."""
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class WorkerWork:
    """By lease id: requests in flight, and whether any was served. ``silent``: did not answer."""

    busy: Mapping[int, float] = field(default_factory=dict)
    served: frozenset[int] = frozenset()
    silent: int = 0


def parse_worker(text: str) -> WorkerWork:
    """A worker's Prometheus text. Raises ValueError where it is none."""
    busy: dict[int, float] = {}
    served: set[int] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name not in (IN_FLIGHT, SERVED):
                continue
            if sample.labels.get("dynamo_endpoint") != ENDPOINT:
                continue
            lease = int(sample.labels.get("worker_id", ""), 16)
            if sample.name == IN_FLIGHT:
                busy[lease] = busy.get(lease, 0.0) + float(sample.value)
            elif sample.value > 0:
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
        limit = aiohttp.ClientTimeout(total=timeout)
        connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
        async with aiohttp.ClientSession(timeout=limit, connector=connector) as session:
            answers = await asyncio.gather(*(_one(session, urls[k]) for k in asked))
        busy: dict[int, float] = {}
        served: set[int] = set()
        told = 0
        for arn, answer in zip(asked, answers, strict=True):
            self._silent.pop(arn, None)
            if isinstance(answer, WorkerWork):
                told += 1
                busy |= answer.busy
                served |= answer.served
            elif isinstance(answer, TimeoutError):
                self._silent[arn] = now
        return WorkerWork(busy, frozenset(served), len(urls) - told)


async def _one(session: aiohttp.ClientSession, url: str) -> WorkerWork | Exception:
    try:
        async with session.get(f"{url}/metrics") as answer:
            answer.raise_for_status()
            return parse_worker(await answer.text())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return error
