"""The work that the prefix cache saves: only prompt tokens outside of it are computed."""

from __future__ import annotations


def effective_tokens(tokens: float, cached_share: float | None) -> float:
    """Return how many of ``tokens`` are computed if ``cached_share`` of them are cached.

    All are if no share is reported.
    """
    share = min(max(cached_share or 0.0, 0.0), 1.0)
    return tokens * (1.0 - share)
