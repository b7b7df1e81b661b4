"""The error budget: what was attained above the target may be missed later, and the reverse.

The share of requests that the margins may leave late is the declared one as long as nothing is
known. It grows while fewer requests were late and shrinks while more were, so that the attained
share approaches the declared one whatever the margins get wrong (the idea of adaptive conformal
inference: Gibbs and Candes, "Adaptive Conformal Inference Under Distribution Shift", 2021).
"""

from __future__ import annotations

import math

from ecs_dynamo.model.memory.load import ErrorBudget

MEMORY_SECONDS = 86_400.0
PRIOR_SECONDS = 3_600.0
"""A fresh budget counts as if the declared share had been late for this long."""
GAIN = 2.0
MIN_FACTOR = 0.5
"""Late requests halve the tolerated share at most: more margin does not undo what has happened."""


def spend(budget: ErrorBudget, late: float, requests: float, elapsed: float) -> ErrorBudget:
    """Return the budget after ``requests`` of which the share ``late`` was late."""
    fade = math.exp(-elapsed / MEMORY_SECONDS)
    return ErrorBudget(
        late=budget.late * fade + late * requests,
        requests=budget.requests * fade + requests,
        seconds=budget.seconds * fade + elapsed,
    )


def tolerated(budget: ErrorBudget, miss: float) -> float:
    """Return the share of requests that may be late from now on, between half and 3 x ``miss``."""
    if budget.seconds <= 0 or budget.requests <= 0:
        return miss
    prior = PRIOR_SECONDS * budget.requests / budget.seconds
    share = (budget.late + miss * prior) / (budget.requests + prior)
    return miss * max(1.0 + GAIN * (1.0 - share / miss), MIN_FACTOR)
