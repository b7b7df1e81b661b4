"""The time of one pass, which is read once: on the monotonic clock and on AWS's wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on two clocks, both in seconds.

    ``monotonic`` never jumps: the daemon's windows, cool-downs and deadlines are differences of it.
    ``wall`` is AWS's time in UTC seconds since the epoch: only it can be compared with timestamps
    of AWS, and it is shown to people.
    """

    monotonic: float
    wall: float

    @classmethod
    def at(cls, seconds: float) -> Self:
        """Return a moment at which both clocks read the same, as in simulations."""
        return cls(seconds, seconds)

    def monotonic_of(self, wall: float) -> float:
        """Return the reading of the monotonic clock at ``wall``, a timestamp of AWS."""
        return self.monotonic - (self.wall - wall)

    def wall_of(self, monotonic: float) -> float:
        """Return the UTC seconds at ``monotonic``."""
        return self.wall - (self.monotonic - monotonic)
