"""A discrete-event model of the fleet: pools of replicas with first-come, first-served queues.

The model has cold starts, launches that fail, and a limited number of GPU slots. A prefill replica
serves one request at a time, for a time that depends on its prompt. A decode replica has slots,
each occupied for a time that depends on the output's length. The effect of batching on speed is
left out: a policy observes queues and rates only.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class PoolName(StrEnum):
    """The pools of a fleet, in the order in which a request passes them."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The hardware and the model. Times are seconds, rates tokens/s of one replica (one GPU).

    ``cold_start`` is the mean and ``cold_start_spread`` the standard deviation relative to it
    (log-normal). ``launch_failure`` is the share of launches that fail.
    """

    prefill_base: float = 0.03
    prefill_rate: float = 4_000.0
    decode_token: float = 0.03
    decode_slots: int = 16
    cold_start: float = 210.0
    cold_start_spread: float = 0.2
    launch_failure: float = 0.01
    gpu_slots: int = 256

    def cold(self, rng: random.Random) -> float:
        """Return one random cold start in seconds."""
        if self.cold_start_spread <= 0:
            return self.cold_start
        variance = math.log(1 + self.cold_start_spread**2)
        return self.cold_start * math.exp(rng.gauss(-variance / 2, math.sqrt(variance)))


@dataclass(slots=True)
class Replica:
    """One replica. ``used``: it has served a request.

    ``ready_at`` is infinite if the launch fails, which then happens at ``fails_at``.
    """

    id: int
    launched: float
    ready_at: float
    fails_at: float = math.inf
    used: bool = False


@dataclass(slots=True)
class Pool:
    """The replicas of one component.

    ``slots`` is the number of requests that each serves concurrently, ``limit`` the number of GPU
    slots. ``free`` is a heap of (time, replica id): when each slot becomes free. ``wasted`` counts
    launched replicas that were removed before they served a request.
    """

    spec: FleetSpec
    rng: random.Random
    slots: int
    limit: int
    desired: int = 0
    replicas: dict[int, Replica] = field(default_factory=dict)
    free: list[tuple[float, int]] = field(default_factory=list)
    gpu_seconds: float = 0.0
    launches: int = 0
    wasted: int = 0
    cold_starts: list[float] = field(default_factory=list)
    _next_id: int = 0

    def _launch(self, now: float, *, warm: bool = False) -> None:
        cold = 0.0 if warm else self.spec.cold(self.rng)
        self._next_id += 1
        replica = Replica(self._next_id, now, now + cold)
        if not warm:
            self.launches += 1
            if self.rng.random() < self.spec.launch_failure:
                replica.fails_at, replica.ready_at = now + cold, math.inf
        self.replicas[replica.id] = replica
        if replica.ready_at < math.inf:
            for _ in range(self.slots):
                heapq.heappush(self.free, (replica.ready_at, replica.id))

    def start(self, count: int, now: float) -> None:
        """Add replicas that serve immediately, at the beginning of a trace."""
        self.desired = count
        for _ in range(count):
            self._launch(now, warm=True)

    def keep(self, now: float, used: int = 0) -> None:
        """Replace failed launches and reach the desired count, as the ECS service scheduler does.

        ``used`` GPU slots belong to other pools.
        """
        for replica in [r for r in self.replicas.values() if r.fails_at <= now]:
            self.gpu_seconds += replica.fails_at - replica.launched
            del self.replicas[replica.id]
        free_gpus = self.limit - used - len(self.replicas)
        for _ in range(min(self.desired - len(self.replicas), free_gpus)):
            self._launch(now)
        while len(self.replicas) > self.desired:
            self._remove(now)

    def _remove(self, now: float) -> None:
        """Remove the newest replica that is not ready, or else the one that becomes idle first."""
        starting = [r for r in self.replicas.values() if r.ready_at > now]
        if starting:
            removed = max(starting, key=lambda r: r.id)
            self.wasted += 1
            end = now
        else:
            last: dict[int, float] = {}
            for at, number in self.free:
                last[number] = max(at, last.get(number, 0.0))
            number = min(last, key=lambda n: (max(last[n], now), n))
            removed = self.replicas[number]
            # It drains first: its GPU is in use until its requests are finished.
            end = max(last[number], now)
            self.wasted += not removed.used and removed.launched > 0
        self.gpu_seconds += end - removed.launched
        self.free = [entry for entry in self.free if entry[1] != removed.id]
        heapq.heapify(self.free)
        del self.replicas[removed.id]

    def serve(
        self,
        arrivals: Sequence[float],
        work: Sequence[float],
        begin: int,
        until: float,
    ) -> list[float]:
        """Start the requests from index ``begin`` on that can start before ``until``.

        Return their start times in order.
        """
        free, count = self.free, len(arrivals)
        starts: list[float] = []
        for index in range(begin, count if free else begin):
            at, number = free[0]
            at = max(at, arrivals[index])
            if at >= until:
                break
            heapq.heapreplace(free, (at + work[index], number))
            starts.append(at)
        return starts

    def ready(self, now: float) -> int:
        """Return the number of ready replicas at ``now``, and mark those that have served."""
        count = 0
        for replica in self.replicas.values():
            if replica.ready_at <= now:
                count += 1
        for at, number in self.free:
            if at > now:
                replica = self.replicas[number]
                if replica.ready_at < at:
                    replica.used = True
        return count

    def starting(self, now: float) -> tuple[float, ...]:
        """Return the launch times of the replicas that are not ready yet."""
        return tuple(r.launched for r in self.replicas.values() if r.ready_at > now)

    def busy(self, now: float) -> int:
        """Return the number of slots in use at ``now``."""
        return sum(
            1 for at, number in self.free if at > now and self.replicas[number].ready_at <= now
        )

    def close(self, now: float) -> None:
        """Add the GPU time of the replicas that still run at the end."""
        for replica in self.replicas.values():
            self.gpu_seconds += max(0.0, min(now, replica.fails_at) - replica.launched)


def arrived_by(arrivals: Sequence[float], now: float, low: int) -> int:
    """Return how many of the sorted ``arrivals`` are before ``now``; at least ``low`` are."""
    return bisect_left(arrivals, now, low)
