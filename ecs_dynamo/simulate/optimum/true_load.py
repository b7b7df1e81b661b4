"""The true load of a pool at any time of a trace, for scalers that know the future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.fleet.spec import FleetSpec, PoolName
from ecs_dynamo.simulate.traces.trace import Array, Trace


def earliest_arrivals(
    fleet: FleetSpec, trace: Trace, pool: PoolName, seed: int
) -> tuple[Array, NDArray[np.int64]]:
    """Return when requests arrive at a pool if none waits, ascending, and their indices.

    A request arrives at decode when its prefill ends.
    """
    if pool is PoolName.PREFILL:
        return trace.arrivals, np.arange(len(trace))
    arrivals = trace.arrivals + fleet.work(PoolName.PREFILL, trace, seed)
    order = np.argsort(arrivals, kind="stable")
    return arrivals[order], order


@dataclass(frozen=True, slots=True)
class Load:
    """The load of a pool: slot-seconds/s, requests/s and the mean service time in seconds."""

    slot_seconds: float
    rate: float
    service_seconds: float


class TrueLoad:
    """The load that arrives at a pool, as means over ``window`` seconds."""

    def __init__(
        self,
        trace: Trace,
        fleet: FleetSpec,
        pool: PoolName,
        *,
        window: float = 60.0,
        seed: int = 7,
    ) -> None:
        self._arrivals, order = earliest_arrivals(fleet, trace, pool, seed)
        work = fleet.work(pool, trace, seed)[order]
        self._work = np.concatenate(([0.0], np.cumsum(work)))
        self._window = window

    def between(self, begin: float, end: float) -> Load:
        """Return the mean load between two times in seconds."""
        first, last = np.searchsorted(self._arrivals, (begin, end)).tolist()
        seconds = max(end - begin, 1e-9)
        work = float(self._work[last] - self._work[first])
        number = last - first
        return Load(work / seconds, number / seconds, work / number if number else 0.0)

    def at(self, when: float) -> Load:
        """Return the mean load around ``when``, for instance one cold start from now."""
        return self.between(when - self._window / 2, when + self._window / 2)

    def peak(self, begin: float, end: float) -> Load:
        """Return the largest load between two times, in steps of half a window."""
        steps = np.arange(begin, max(end, begin) + self._window / 4, self._window / 2)
        return max((self.at(float(t)) for t in steps), key=lambda load: load.slot_seconds)
