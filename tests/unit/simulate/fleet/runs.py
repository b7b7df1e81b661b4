"""Small traces, fleets and scalers for the tests of the fleet model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ecs_dynamo.simulate.fleet import FleetSpec, PoolName
from ecs_dynamo.simulate.scalers import Scaler, View
from ecs_dynamo.simulate.traces.trace import Trace

QUIET = FleetSpec(launch_failure=0.0, cold_start_spread=0.0)


def trace_of(
    arrivals: Sequence[float], prompts: Sequence[float], outputs: Sequence[float]
) -> Trace:
    return Trace("t", np.array(arrivals, float), np.array(prompts, float), np.array(outputs, float))


def poisson(rate: float, length: float, prompt: float, seed: int = 1, output: float = 1) -> Trace:
    rng = np.random.default_rng(seed)
    arrivals = np.sort(rng.uniform(0, length, int(rate * length)))
    size = len(arrivals)
    return Trace("poisson", arrivals, rng.exponential(prompt, size), np.full(size, output))


class Script:
    """A scaler with the count of each tick; the last count stays. It keeps its views."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = counts
        self.views: list[View] = []

    def decide(self, view: View) -> int:
        self.views.append(view)
        return self.counts[min(len(self.views), len(self.counts)) - 1]


def scripts(
    prefill: Sequence[int], decode: Sequence[int]
) -> tuple[dict[PoolName, Script], Callable[[PoolName, int], Scaler]]:
    """Return the scripts by pool, and the function that `simulate` takes."""
    made_of = {PoolName.PREFILL: Script(prefill), PoolName.DECODE: Script(decode)}
    return made_of, lambda pool, _: made_of[pool]
