"""The KV cache as a bound of the batch.

A request in decode holds its prompt and, on average, half of its output. Where the capacity is not
declared, the bound follows from the use that was reported at a known batch.
"""

from __future__ import annotations

import math

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.memory.scaling import KvEstimate
from ecs_dynamo.planning.scaling.policy import Demand

MEMORY_SECONDS = 300.0
FILL = 0.85
"""Share of the KV cache that is planned to be in use: a full one preempts requests, and replicas do
not have the same use."""
MIN_USAGE = 0.05
"""Below this use the batch at a full cache is mostly rounding."""
MIN_RATE = 1e-6


def observe_kv(
    estimate: KvEstimate | None, demand: Demand, batch: float | None, now: float
) -> KvEstimate:
    """Return the estimate after one more pass with a mean ``batch`` per replica.

    The batch is None where requests wait: a router also counts the blocks of those.
    """
    full = None
    if batch and demand.kv_usage is not None and demand.kv_usage >= MIN_USAGE:
        full = batch / demand.kv_usage
    prompt = demand.prompt_arrival_rate
    if prompt is None:
        prompt = demand.prompt_rate
    rates = (prompt, demand.output_rate, demand.arrival_rate)
    if estimate is None:
        first = (rate or 0.0 for rate in rates)
        return KvEstimate(now, full, *first)
    elapsed = now - estimate.at
    if elapsed <= 0:
        return estimate
    weight = 1.0 - math.exp(-elapsed / MEMORY_SECONDS)

    def mixed(before: float, value: float | None) -> float:
        return before if value is None else before + weight * (value - before)

    before = estimate.batch_at_full
    return replace(
        estimate,
        at=now,
        batch_at_full=full if before is None else mixed(before, full),
        prompt=mixed(estimate.prompt, prompt),
        output=mixed(estimate.output, demand.output_rate),
        rate=mixed(estimate.rate, demand.arrival_rate),
    )


def tokens_in_decode(estimate: KvEstimate) -> float | None:
    """Return the mean KV tokens that a request holds while it is decoded; None if unknown."""
    if estimate.rate <= MIN_RATE:
        return None
    tokens = (estimate.prompt + 0.5 * estimate.output) / estimate.rate
    return tokens if tokens > 0 else None


def kv_batch(estimate: KvEstimate | None, kv_tokens: float | None) -> float | None:
    """Return the batch that fits into the KV cache of a replica, at least 1; None if unknown."""
    if estimate is None:
        return None
    if kv_tokens is not None:
        tokens = tokens_in_decode(estimate)
        return None if tokens is None else max(FILL * kv_tokens / tokens, 1.0)
    full = estimate.batch_at_full
    return None if full is None else max(FILL * full, 1.0)
