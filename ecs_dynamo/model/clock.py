"""The time of one pass, read once: on the monotonic clock and on AWS's wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on two clocks, both in seconds.

    ``monotonic`` never jumps: windows, cool-downs and deadlines of the daemon's own are differences
    of it. ``wall`` is UTC seconds since the epoch as AWS has them: only it can be compared with the
    timestamps that AWS gives, and it is what people are shown.
    """

    monotonic: float
    wall: float

    @classmethod
    def at(cls, seconds: float) -> Self:
        """A moment where both clocks read the same, as in simulations."""
        return cls(seconds, seconds)

    def monotonic_of(self, wall: float) -> float:
        """When ``wall``, a timestamp of AWS's, was on the monotonic clock."""
        return self.monotonic - (self.wall - wall)

    def wall_of(self, monotonic: float) -> float:
        """When ``monotonic`` was in UTC seconds."""
        return self.wall - (self.monotonic - monotonic)
