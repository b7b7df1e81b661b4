"""Rates, latencies and shares of an interval between two passes.

Each function states when Dynamo 1.6.1 counts what it reads. None means that nothing was measured:
the metric does not exist, or nothing was counted in the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ecs_dynamo.model.graph import Component
from ecs_dynamo.signals.frontend.intervals import Interval, Span
from ecs_dynamo.signals.frontend.page import (
    CACHED_TOKENS,
    CACHED_TOKENS_REPORTS,
    FAILURES,
    FINISHED,
    ITL_SECONDS,
    ITL_TOKENS,
    MIGRATIONS,
    MODEL_READY,
    OUTPUT_TOKENS,
    OUTPUT_TOKENS_AT_END,
    PREFILL_TOKENS,
    PROMPT_TOKENS,
    PROMPTS,
    REJECTED,
    ROUTED_CACHED_TOKENS,
    ROUTED_TOKENS,
    ROUTER_QUEUE_TOKENS,
    STARTED,
    TOO_LONG_TO_MIGRATE,
    TTFT_BUCKET,
    Phase,
    Scrape,
    entry_phases,
)


def arrival_rate(interval: Interval) -> float:
    """Return the requests/s that arrive, counted at arrival.

    Includes requests that are rejected later (503, 529) or name an unknown model (404), but neither
    malformed ones (400, 415) nor those that a frontend without any ready model answers with 404.
    """
    return interval.grown(STARTED) / interval.seconds


def completion_rate(interval: Interval) -> float:
    """Return the requests/s that end, successfully or not."""
    return interval.grown(FINISHED) / interval.seconds


def prompt_rate(interval: Interval) -> float:
    """Return the prompt tokens/s, counted at the first token of the answer."""
    return interval.grown(PROMPT_TOKENS) / interval.seconds


def _arrived_tokens(span: Span, phases: Sequence[Phase]) -> float:
    routed = [span.growth(ROUTED_TOKENS, phase=phase.stage) for phase in phases]
    counted = [tokens for tokens in routed if tokens is not None]
    if counted:
        # Tokens in the router's queue are counted when they leave it.
        queued = [span.change(ROUTER_QUEUE_TOKENS, worker_type=phase.worker) for phase in phases]
        return max(0.0, sum(counted) + sum(queued))
    # First tokens have no phase, so they count once, whatever the number of phases is.
    pending = [
        span.change(PREFILL_TOKENS, worker_type=phase.worker) for phase in phases if phase.is_first
    ]
    return max(0.0, span.grown(PROMPT_TOKENS) + sum(pending))


def prompt_arrival_rate(interval: Interval, component: Component) -> float | None:
    """Return the prompt tokens/s that arrive at ``component``; None if it has no worker role.

    The router counts a prompt when it sends the request to a worker of the phase: at arrival for
    prefill and aggregated workers, and after prefill for decode workers. Without the router's
    counter, the arrivals are the prompts that got a first token plus the change of the tokens that
    are still to be prefilled.
    """
    phases = entry_phases(component)
    if not phases:
        return None
    return sum(_arrived_tokens(span, phases) for span in interval.spans) / interval.seconds


def output_rate(interval: Interval) -> float:
    """Return the output tokens/s, counted while they are generated.

    Frontends without that counter count an answer's tokens when it is complete.
    """
    tokens = 0.0
    for span in interval.spans:
        generated = span.growth(OUTPUT_TOKENS)
        tokens += span.grown(OUTPUT_TOKENS_AT_END) if generated is None else generated
    return tokens / interval.seconds


def itl_seconds(interval: Interval) -> float | None:
    """Return the mean seconds between tokens, counted every 64 tokens and at the end of an answer.

    None if nothing was counted in the interval.
    """
    tokens = interval.grown(ITL_TOKENS)
    return interval.grown(ITL_SECONDS) / tokens if tokens else None


def _lacks_a_model(scrape: Scrape) -> bool:
    """Return whether a model that the frontend has served or knows is not ready."""
    ready = {dict(labels).get("model") for labels, value in scrape.series(MODEL_READY) if value}
    known = {dict(labels).get("model") for labels, _ in scrape.series(MODEL_READY)}
    known |= {dict(labels).get("model") for labels, _ in scrape.series(FINISHED, status="success")}
    return bool(known - ready)


def rejection_rate(interval: Interval) -> float:
    """Return the requests/s that the frontends refuse for lack of workers, counted at the refusal.

    These have the error types ``overload`` (529) and ``unavailable`` (503; also answers that a lost
    worker broke off), and ``not_found`` (404) while a model that the frontend has served is not
    ready; otherwise a 404 is a wrong model name. Cancelled and malformed requests do not count.
    """
    rejected = 0.0
    for span in interval.spans:
        overload = span.growth(FINISHED, error_type="overload")
        # Frontends without the label ``error_type`` have only the counter of rejections.
        rejected += span.grown(REJECTED) if overload is None else overload
        # While a role has no worker, the model is registered and not ready: this 503 is counted as
        # a failure only.
        rejected += max(
            span.grown(FINISHED, error_type="unavailable"),
            span.grown(FAILURES, reason="backend.unavailable"),
        )
        if _lacks_a_model(span.later):
            rejected += span.grown(FINISHED, error_type="not_found")
    return rejected / interval.seconds


def migrations(interval: Interval) -> dict[str, float]:
    """Return the requests that were moved to another worker, by kind (`Snapshot.migrations`).

    Each attempt counts, even if it fails. ``too_long`` counts every request that grows beyond
    ``--migration-max-seq-len``.
    """
    kinds = ("new_request", "ongoing_request")
    moved = {kind: interval.grown(MIGRATIONS, migration_type=kind) for kind in kinds}
    return moved | {"too_long": interval.grown(TOO_LONG_TO_MIGRATE)}


def late_share(interval: Interval, target_seconds: float) -> float | None:
    """Return the share of first tokens in the interval that came later than ``target_seconds``.

    Times within the histogram bucket of the target are assumed to be uniformly distributed. None if
    there was no first token in the interval.
    """
    late, count = 0.0, 0.0
    for span in interval.spans:
        counts = [(bound, span.grown(TTFT_BUCKET, le=text)) for bound, text in _bounds(span.later)]
        if not counts:
            continue
        total = counts[-1][1]
        count += total
        late += total - _punctual(counts, target_seconds)
    return min(1.0, max(0.0, late / count)) if count > 0 else None


def _bounds(scrape: Scrape) -> list[tuple[float, str]]:
    """Return the upper bounds of the buckets in ascending order, as numbers and as labels."""
    texts = {dict(labels).get("le", "") for labels, _ in scrape.series(TTFT_BUCKET)}
    bounds = []
    for text in texts:
        try:
            bounds.append((float(text), text))
        except ValueError:
            continue
    return sorted(bound for bound in bounds if not math.isnan(bound[0]))


def _punctual(counts: list[tuple[float, float]], target: float) -> float:
    """Return how many of the cumulative ``counts`` (bound, count) are at most ``target``."""
    for (lower, below), (upper, within) in pairwise([(0.0, 0.0), *counts]):
        if target <= upper:
            share = 0.0 if math.isinf(upper) else (target - lower) / (upper - lower)
            return below + share * (within - below)
    return counts[-1][1]


def cached_share(interval: Interval, component: Component) -> float | None:
    """Return the share of the prompt tokens that were in the prefix cache.

    Engines report a request's cached tokens at its end; divided by the mean prompt length of the
    interval they are a share. If no engine reports them, the router's choice of workers counts: the
    cached prefix on the selected worker, at the arrival of a request (KV router only).
    """
    reports, prompts = interval.grown(CACHED_TOKENS_REPORTS), interval.grown(PROMPTS)
    tokens = interval.grown(PROMPT_TOKENS)
    if reports and tokens:
        return min(1.0, interval.grown(CACHED_TOKENS) / reports * prompts / tokens)
    cached = routed = 0.0
    for span in interval.spans:
        for phase in entry_phases(component):
            selected = span.growth(ROUTED_CACHED_TOKENS, phase=phase.stage)
            if selected is not None:
                cached += selected
                routed += span.grown(ROUTED_TOKENS, phase=phase.stage)
    return min(1.0, cached / routed) if routed else None
