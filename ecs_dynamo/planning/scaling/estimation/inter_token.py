"""The relation of a replica's batch to its inter-token latency (ITL): ITL = base + slope x batch.

Each pass gives one point: the mean batch of the ready replicas and the mean ITL. The line goes
through the mean of the points. Its slope is a ridge regression: where the batch hardly varied, it
is that of the declared model, or of a prior under which half of the ITL is proportional to the
batch. Base and slope are never negative, so the ITL is at most proportional to the batch.
"""

from __future__ import annotations

import math

from ecs_dynamo.model.memory.scaling import InterTokenFit
from ecs_dynamo.model.spec.scaling import InterTokenModel

MEMORY_SECONDS = 3600.0
"""Points fade over an hour: the mix of requests changes."""
PRIOR_SHARE = 0.5
"""Share of the ITL that is proportional to the batch, before the batch has varied."""
PRIOR_SPREAD = 0.1
"""Relative standard deviation of the batch at which the points count as much as the prior."""
PRIOR_POINTS = 8.0
"""Passes after which the ITL observed counts as much as the declared model's."""
REACH = 1.5
"""Nothing is known of a batch that is larger than the largest observed by more than this factor."""


def observe_latency(
    fit: InterTokenFit | None, batch: float, itl: float, now: float
) -> InterTokenFit:
    """Return the fit after a pass with a mean ``batch`` and a mean ``itl`` in seconds."""
    if fit is None:
        return InterTokenFit(now, 1.0, batch, itl, largest=batch)
    elapsed = now - fit.at
    if elapsed <= 0:
        return fit
    kept = fit.weight * math.exp(-elapsed / MEMORY_SECONDS)
    weight = kept + 1.0
    share = 1.0 / weight
    by_batch, by_itl = batch - fit.batch, itl - fit.itl
    return InterTokenFit(
        at=now,
        weight=weight,
        batch=fit.batch + share * by_batch,
        itl=fit.itl + share * by_itl,
        variance=(1.0 - share) * (fit.variance + share * by_batch * by_batch),
        covariance=(1.0 - share) * (fit.covariance + share * by_batch * by_itl),
        largest=max(fit.largest, batch),
    )


def line(fit: InterTokenFit, model: InterTokenModel | None = None) -> tuple[float, float]:
    """Return (base, slope) in seconds and seconds per request; neither is negative."""
    itl = fit.itl
    if model is not None:
        declared = model.base_seconds + model.per_request_seconds * fit.batch
        itl = declared + (itl - declared) * fit.weight / (fit.weight + PRIOR_POINTS)
    steepest = itl / fit.batch if fit.batch > 0 else 0.0
    prior = model.per_request_seconds if model else PRIOR_SHARE * steepest
    ridge = (PRIOR_SPREAD * fit.batch) ** 2
    total = fit.variance + ridge
    slope = (fit.covariance + ridge * prior) / total if total > 0 else prior
    slope = min(max(slope, 0.0), steepest)
    return max(itl - slope * fit.batch, 0.0), slope


def itl_at(
    fit: InterTokenFit | None, batch: float, model: InterTokenModel | None = None
) -> float | None:
    """Return the ITL in seconds at a batch; None where nothing was observed or declared."""
    if fit is not None:
        base, slope = line(fit, model)
        return base + slope * batch
    if model is not None:
        return model.base_seconds + model.per_request_seconds * batch
    return None


def batch_for(
    fit: InterTokenFit | None, target: float, model: InterTokenModel | None = None
) -> float | None:
    """Return the largest batch whose ITL is at most ``target`` seconds, at least 1.

    It is at most `REACH` times the largest batch that was observed, unless a model is declared.
    None where nothing was observed or declared.
    """
    if fit is None:
        if model is None:
            return None
        base, slope = model.base_seconds, model.per_request_seconds
    else:
        base, slope = line(fit, model)
    flat = math.inf if base <= target else 1.0
    batch = max((target - base) / slope, 1.0) if slope > 0 else flat
    if model is None and fit is not None:
        batch = min(batch, max(REACH * fit.largest, 1.0))
    return batch
