"""Events that a cluster cannot control: shortages of capacity and interruptions of spot instances.

Both are off by default and depend on the seed only, so every policy meets the same shortages.
"""

from __future__ import annotations

import math
import random

from ecs_dynamo.simulate.fleet import kernel
from ecs_dynamo.simulate.fleet.state import ENDED, PREFILL, State

NOTICE_SECONDS = 120.0
"""The warning before an interruption (EC2 User Guide, "Spot Instance interruption notices")."""


class Shortages:
    """Periods in which EC2 launches no instance (InsufficientInstanceCapacity).

    They begin ``every`` seconds apart on average and last ``length`` seconds on average, both
    exponential; 0 is never. Times must be asked in ascending order.
    """

    def __init__(self, every: float, length: float, seed: int) -> None:
        self._every, self._length = every, length
        self._rng = random.Random(seed)
        self._begin = self._end = -math.inf

    def covers(self, now: float) -> bool:
        """Whether there is a shortage at ``now``."""
        if self._every <= 0:
            return False
        while now >= self._end:
            self._begin = max(self._end, 0.0) + self._rng.expovariate(1 / self._every)
            self._end = self._begin + self._rng.expovariate(1 / self._length)
        return now >= self._begin


def arrivals(rng: random.Random, mean: float) -> int:
    """Return a Poisson-distributed number of events."""
    count, left = 0, math.exp(-mean)
    product = rng.random()
    while product > left:
        count += 1
        product *= rng.random()
    return count


def interrupt(state: State, row: int, now: float) -> None:
    """End a replica that drains, and let its requests continue elsewhere.

    A prompt in prefill starts again. A request in decode keeps its tokens, as Dynamo's request
    migration does (NVIDIA Dynamo documentation, "Request Migration"); the time for the prefill of
    those tokens is left out, and the gap counts in the request's inter-token latency.
    """
    replica = state.replicas[row]
    if replica["state"] == ENDED:
        return
    kernel.settle(state, row, now)
    pool, active = int(replica["pool"]), int(replica["active"])
    if pool == PREFILL:
        moved = [int(replica["request"])]
    else:
        moved = []
        for slot in state.slots[row, :active]:
            request = state.requests[slot["request"]]
            left = max(0.0, slot["end"] - replica["clock"])
            request["generated"] = max(1e-3, request["output"] - left)
            request["itl"] = now - slot["begun"]
            moved.append(int(slot["request"]))
    state.pools[pool]["active"] -= active
    replica["active"] = 0
    replica["state"], replica["ended"] = ENDED, now
    kernel.schedule(state, row, math.inf)
    for number in moved:
        kernel.enqueue(state, pool, number, now)
