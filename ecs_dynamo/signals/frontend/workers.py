"""Facts about workers in the frontends' pages: their load, their answers, and which are routed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ecs_dynamo.signals.frontend.page import LAST_RESPONSE_GAUGES, LOAD_GAUGES, Scrape


def _by_worker(scrape: Scrape, gauges: Collection[str]) -> Iterator[tuple[int, float]]:
    """Yield worker id and value of each sample of ``gauges`` that names a worker."""
    for gauge in gauges:
        for labels, value in scrape.series(gauge):
            worker = dict(labels).get("worker_id", "")
            if worker.isdecimal():
                yield int(worker), value


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
