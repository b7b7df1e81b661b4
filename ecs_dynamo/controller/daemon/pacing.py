"""The pause between two passes. Pure: randomness is passed in."""

from __future__ import annotations

from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.config import Settings
from ecs_dynamo.controller.reconcile.reconciler import POLL_SECONDS


def pause_seconds(
    settings: Settings, failures: int, *, converged: bool, has_scaling: bool, jitter: float
) -> float:
    """Return the longest pause before the next pass; events may end it earlier.

    ``failures`` counts the failed passes in a row, ``jitter`` is a random number from 0 to 1. After
    a failure the pause grows exponentially and varies by half, so that daemons and graphs do not
    retry in step.
    """
    if failures:
        backoff = Backoff(settings.backoff_min_seconds, settings.backoff_max_seconds)
        return backoff.delay(failures, jitter)
    if not converged:
        return POLL_SECONDS
    if has_scaling:
        return min(settings.signal_seconds, settings.resync_seconds)
    return settings.resync_seconds
