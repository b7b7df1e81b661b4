"""Exponential back-off."""

from __future__ import annotations

from dataclasses import dataclass

_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds that double from ``first`` up to ``longest``."""

    first: float
    longest: float

    def delay(self, failures: int, jitter: float = 1.0) -> float:
        """Return the delay after ``failures`` failures in a row, at least one.

        ``jitter``, from 0 to 1, spreads the delay over the upper half of its range, so that many
        clients do not retry at the same moment; 1 is the whole delay.
        """
        ceiling = min(self.first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.longest)
        return ceiling * (0.5 + jitter / 2)

    def next(self, previous: float | None) -> float:
        """Return the delay, without jitter, that follows ``previous``; None: the first."""
        return self.first if previous is None else min(2 * previous, self.longest)
