"""Requests by stage, from the gauges on the frontends' pages.

``dynamo_frontend_stage_requests{stage,phase}`` counts requests before their first token:
``preprocess`` (no phase), ``route`` (choice of a worker, including the time in the router's queue),
and ``dispatch`` (sent to a worker of that phase). For prefill, ``dispatch`` ends when the prompt is
prefilled; for decode and aggregated workers it ends at the first token. Requests past their first
token are the active ones minus all of these; they are at their decode or aggregated worker.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ecs_dynamo.model.graph import DECODING_ROLES, Component, Role
from ecs_dynamo.signals.frontend.page import (
    ACTIVE,
    DECODE_BLOCKS,
    IN_FLIGHT,
    KV_BLOCKS,
    PHASES,
    QUEUED,
    ROUTER_QUEUE,
    STAGE,
    Phase,
    Scrape,
    entry_phases,
)


def active(scrape: Scrape) -> float:
    """Return the unfinished requests of one frontend."""
    current = scrape.total(ACTIVE)
    return scrape.sum(IN_FLIGHT) if current is None else current


def waiting_at(scrape: Scrape, phase: Phase) -> float:
    """Return the requests that wait for workers of ``phase`` or for their first token there."""
    if scrape.total(STAGE) is None and phase.is_first:
        in_router = scrape.sum(ROUTER_QUEUE, worker_type=phase.worker)
        return max(in_router, scrape.sum(QUEUED))
    # With a router queue, its requests are in the stage ``route`` as well.
    in_router = max(
        scrape.sum(STAGE, stage="route", phase=phase.stage),
        scrape.sum(ROUTER_QUEUE, worker_type=phase.worker),
    )
    return in_router + scrape.sum(STAGE, stage="dispatch", phase=phase.stage)


def _waiting_for(roles: Collection[Role], scrape: Scrape) -> float:
    """Return the requests that wait for workers of ``roles``, or for their first token there."""
    return sum((waiting_at(scrape, phase) for role, phase in PHASES.items() if role in roles), 0.0)


def _before_first_token(scrape: Scrape) -> float:
    if scrape.total(STAGE) is None:
        return scrape.sum(QUEUED)
    return scrape.sum(STAGE)


def _streaming(scrape: Scrape) -> float:
    """Return the requests past their first token."""
    return max(0.0, active(scrape) - _before_first_token(scrape))


def queue_depth(component: Component, scrapes: Sequence[Scrape]) -> float:
    """Return the number of unfinished requests of ``component``, over all frontends."""
    if component.is_frontend and not component.is_worker:
        return sum(map(active, scrapes))
    depth = sum(_waiting_for(component.roles, scrape) for scrape in scrapes)
    if component.roles & DECODING_ROLES:
        depth += sum(map(_streaming, scrapes))
    return depth


def waiting(component: Component, scrapes: Sequence[Scrape]) -> float:
    """Return the requests that wait for their first token from ``component``.

    A request in preprocessing waits for the workers that it reaches first. Frontends do not show
    whether a worker has begun to process a request that was dispatched to it.
    """
    count = sum(_waiting_for(component.roles, scrape) for scrape in scrapes)
    if any(phase.is_first for phase in entry_phases(component)):
        count += sum(scrape.sum(STAGE, stage="preprocess") for scrape in scrapes)
    return count


def upstream(component: Component, scrapes: Sequence[Scrape]) -> float | None:
    """Return the requests that ``component`` will receive after another one prefills them.

    None for components that a request reaches first, and for those without a worker role.
    """
    if PHASES[Role.DECODE] not in entry_phases(component):
        return None
    return sum(
        waiting_at(scrape, PHASES[Role.PREFILL]) + scrape.sum(STAGE, stage="preprocess")
        for scrape in scrapes
    )


def kv_usage(component: Component, scrapes: Sequence[Scrape]) -> float | None:
    """Return the share of the KV blocks that requests at decode or aggregated workers use.

    A KV router counts the blocks of the requests that it has sent to a worker, including those that
    wait there, so the share may exceed 1. None without a KV router, before the first request, and
    for prefill workers, whose blocks it does not count.
    """
    if not component.roles & DECODING_ROLES:
        return None
    used, workers, blocks = 0.0, set(), 0.0
    for scrape in scrapes:
        for series, value in scrape.series(DECODE_BLOCKS, worker_type="decode"):
            labels = dict(series)
            used += value
            workers.add((labels.get("worker_id"), labels.get("dp_rank")))
        models = [value for _, value in scrape.series(KV_BLOCKS)]
        blocks = max(blocks, *models) if models else blocks
    if not workers or not blocks:
        return None
    return used / (blocks * len(workers))
