"""A discrete-event model of the fleet: pools of replicas that serve requests first come, first
served, with cold starts, launches that fail, and GPU slots that run out.

A prefill replica takes one request at a time, for a time set by its prompt; a decode replica has
slots, each held for the output's length. Batching effects on speed are left out: a policy sees
queues and rates, not kernels.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The hardware and the model. Times are seconds, rates tokens/s of one replica (one GPU).

    ``cold_start`` is the mean, ``cold_start_spread`` the standard deviation relative to it
    (log-normal). ``launch_failure`` is the share of launches that come to nothing.
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
        """One cold start."""
        if self.cold_start_spread <= 0:
            return self.cold_start
        variance = math.log(1 + self.cold_start_spread**2)
        return self.cold_start * math.exp(rng.gauss(-variance / 2, math.sqrt(variance)))


@dataclass(slots=True)
class Replica:
    """``ready_at`` is infinite where the launch fails at ``fails_at``. ``used``: it has served."""

    id: int
    launched: float
    ready_at: float
    fails_at: float = math.inf
    used: bool = False


@dataclass(slots=True)
class Pool:
    """Replicas of one component. ``slots`` is how many requests each serves at once."""

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
        made = Replica(self._next_id, now, now + cold)
        if not warm:
            self.launches += 1
            if self.rng.random() < self.spec.launch_failure:
                made.fails_at, made.ready_at = now + cold, math.inf
        self.replicas[made.id] = made
        if made.ready_at < math.inf:
            for _ in range(self.slots):
                heapq.heappush(self.free, (made.ready_at, made.id))

    def start(self, count: int, now: float) -> None:
        """Replicas that serve at once, as at the beginning of a trace."""
        self.desired = count
        for _ in range(count):
            self._launch(now, warm=True)

    def keep(self, now: float, used: int = 0) -> None:
        """What the service scheduler does: replace failed launches, reach the desired count.

        ``used`` GPU slots belong to other pools.
        """
        for replica in [r for r in self.replicas.values() if r.fails_at <= now]:
            self.gpu_seconds += replica.fails_at - replica.launched
            del self.replicas[replica.id]
        room = self.limit - used - len(self.replicas)
        for _ in range(min(self.desired - len(self.replicas), room)):
            self._launch(now)
        while len(self.replicas) > self.desired:
            self._remove(now)

    def _remove(self, now: float) -> None:
        """Take one away: the newest that is not ready, else the one that is done first."""
        starting = [r for r in self.replicas.values() if r.ready_at > now]
        if starting:
            gone = max(starting, key=lambda r: r.id)
            self.wasted += 1
            end = now
        else:
            last: dict[int, float] = {}
            for at, number in self.free:
                last[number] = max(at, last.get(number, 0.0))
            number = min(last, key=lambda n: (max(last[n], now), n))
            gone = self.replicas[number]
            # It drains: what it works on is finished first.
            end = max(last[number], now)
            self.wasted += not gone.used and gone.launched > 0
        self.gpu_seconds += end - gone.launched
        self.free = [entry for entry in self.free if entry[1] != gone.id]
        heapq.heapify(self.free)
        del self.replicas[gone.id]

    def serve(
        self,
        arrivals: Sequence[float],
        work: Sequence[float],
        begin: int,
        until: float,
        starts: list[float],
    ) -> int:
        """Start requests from index ``begin`` that can start before ``until``; the next index.

        ``starts`` gets their start times, in order.
        """
        free, index, count = self.free, begin, len(arrivals)
        replace = heapq.heapreplace
        add = starts.append
        while index < count and free:
            arrived = arrivals[index]
            at, number = free[0]
            if arrived > at:
                at = arrived
            if at >= until:
                break
            replace(free, (at + work[index], number))
            add(at)
            index += 1
        return index

    def ready(self, now: float) -> int:
        """Replicas that serve at ``now``; notes which have been of use."""
        count = 0
        for replica in self.replicas.values():
            if replica.ready_at <= now:
                count += 1
        for at, number in self.free:
            if at > now:
                found = self.replicas[number]
                if found.ready_at < at:
                    found.used = True
        return count

    def starting(self, now: float) -> tuple[float, ...]:
        """Launch times of the replicas that do not serve yet."""
        return tuple(r.launched for r in self.replicas.values() if r.ready_at > now)

    def busy(self, now: float) -> int:
        """Slots in use at ``now``."""
        return sum(
            1 for at, number in self.free if at > now and self.replicas[number].ready_at <= now
        )

    def close(self, now: float) -> None:
        """Count the GPU time of what still runs."""
        for replica in self.replicas.values():
            self.gpu_seconds += max(0.0, min(now, replica.fails_at) - replica.launched)


def arrived_by(arrivals: Sequence[float], now: float, low: int) -> int:
    """How many of ``arrivals`` came before ``now``; ``low`` is a known lower bound."""
    return bisect_left(arrivals, now, low)
