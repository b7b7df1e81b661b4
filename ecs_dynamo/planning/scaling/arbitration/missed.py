"""The share of recent requests that missed their target, as far as it can be known."""

from __future__ import annotations

import math

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.memory.scaling import SharedLimitState

FADE_SECONDS = 300.0
"""Time constant with which requests fade: about one cold start, after which a changed count takes
effect."""


def waits_too_long(waiting: float, seconds: float, slots: float, target: float) -> bool:
    """Return whether a request that arrives now waits longer than ``target`` seconds.

    ``waiting`` requests are ahead of it, and each holds one of ``slots`` slots for ``seconds``.
    """
    return waiting * seconds > target * slots


def observe_missed(
    state: SharedLimitState, share: float | None, requests: float, now: float
) -> SharedLimitState:
    """Return ``state`` with ``requests`` more, of which ``share`` missed the target.

    A ``share`` that is not known (None) changes nothing but the time, in monotonic seconds.
    """
    if state.at is None:
        state = replace(state, at=now)
    elapsed = max(0.0, now - (state.at or now))
    fade = math.exp(-elapsed / FADE_SECONDS)
    if share is None:
        return replace(state, at=now, missed=state.missed * fade, requests=state.requests * fade)
    return replace(
        state,
        at=now,
        missed=state.missed * fade + min(max(share, 0.0), 1.0) * requests,
        requests=state.requests * fade + requests,
    )
