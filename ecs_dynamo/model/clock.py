"""The time of one pass, read once: on the monotonic clock and on AWS's wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on two clocks, both in seconds.

    ``monotonic`` never jumps: the daemon's windows, cool-downs and deadlines are differences of it.
    ``wall`` is AWS's time in UTC seconds since the epoch: only it can be compared with AWS's
    timestamps, and it is shown to people.
    """

    monotonic: float
    wall: float

    @classmethod
    def at(cls, seconds: float) -> Self:
        """Return a moment at which both clocks show the same time, as in simulations."""
        return cls(seconds, seconds)

    def monotonic_of(self, wall: float) -> float:
        """Convert ``wall``, one of AWS's timestamps, to the monotonic clock."""
        return self.monotonic - (self.wall - wall)

    def wall_of(self, monotonic: float) -> float:
        """Convert ``monotonic`` to UTC seconds."""
        return self.wall - (self.monotonic - monotonic)
