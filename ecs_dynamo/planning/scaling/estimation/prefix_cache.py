"""The work that the prefix cache saves: only prompt tokens outside of it are computed."""

from __future__ import annotations


def effective_tokens(tokens: float, cached_share: float | None) -> float:
    """Return the prompt tokens that are computed, of ``tokens`` of which a share is cached.

    Without a report of the share all are.
    """
    share = min(max(cached_share or 0.0, 0.0), 1.0)
    return tokens * (1.0 - share)


def scaled_work(work: float, share_then: float | None, share_now: float | None) -> float:
    """Return ``work`` that was measured at one cached share, as it is at another.

    Work that was measured while nearly everything was cached says little of the rest, so the
    result is at most twenty times as large.
    """
    before = max(effective_tokens(1.0, share_then), 0.05)
    return work * max(effective_tokens(1.0, share_now), 0.05) / before
