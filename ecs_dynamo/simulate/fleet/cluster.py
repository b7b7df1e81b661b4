"""The fleet between events: launches, failures, removals, and what they cost."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ecs_dynamo.simulate.fleet import kernel
from ecs_dynamo.simulate.fleet.billing import INSTANCE_SIZES, instances_needed
from ecs_dynamo.simulate.fleet.hazards import NOTICE_SECONDS, Shortages, arrivals, interrupt
from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec, PoolName
from ecs_dynamo.simulate.fleet.state import (
    ENDED,
    FREE,
    FRONT,
    POOL,
    PREFILL,
    REPLICA,
    RULES,
    SLOT,
    STARTING,
    State,
    new_requests,
    with_rows,
)
from ecs_dynamo.simulate.traces.trace import Trace

POOLS = tuple(PoolName)
FIRST_ROWS = 64
KEPT_COLD_STARTS = 32


@dataclass(frozen=True, slots=True)
class Totals:
    """A pool's counters since the beginning, and its current requests and replicas (`POOL`)."""

    waiting: int
    active: int
    ready: int
    arrived: int
    done: int
    work: float
    occupied: float
    duty: float
    available: float
    kv: float


@dataclass(frozen=True, slots=True)
class FrontTotals:
    """The frontends' counters since the beginning (`FRONT`)."""

    arrived: int
    rejected: int
    first_tokens: int
    late: int
    prompts: float
    prompts_done: float
    cached: float
    prefilled: float
    outputs: float
    outputs_done: float


@dataclass(slots=True)
class Pool:
    """The replicas of one component, by row of the kernel's state.

    ``starting`` has the time of launch and of readiness of the replicas that are not ready. Where
    the launch fails, the latter is infinite, and ``failing`` has the time of the failure.
    ``draining`` has the launch times of the replicas that drain, ``launched`` those of all others,
    and ``interrupted_at`` the end of those whose instance is interrupted. ``wasted`` counts
    launched replicas that were removed before they served a request.
    """

    name: PoolName
    rng: random.Random
    gpus: int
    desired: int = 0
    starting: dict[int, tuple[float, float]] = field(default_factory=dict)
    failing: dict[int, float] = field(default_factory=dict)
    launched: dict[int, float] = field(default_factory=dict)
    draining: dict[int, float] = field(default_factory=dict)
    interrupted_at: dict[int, float] = field(default_factory=dict)
    gpu_seconds: float = 0.0
    launches: int = 0
    wasted: int = 0
    cold_starts: list[float] = field(default_factory=list)

    @property
    def running(self) -> int:
        """The number of replicas, including those that start or drain."""
        return len(self.launched) + len(self.draining)


class Cluster:
    """Both pools of a fleet, and the requests of a trace."""

    def __init__(
        self, trace: Trace, spec: FleetSpec, *, seed: int, target_ttft: float | None = None
    ) -> None:
        self.spec = spec
        self.instance_seconds = dict.fromkeys({*INSTANCE_SIZES, spec.instance.gpus}, 0.0)
        self.interrupted = 0
        self._shortages = Shortages(spec.shortage_every, spec.shortage_length, seed + 3)
        self._spot = random.Random(seed + 4)
        self.pools = {
            name: Pool(name, random.Random(seed + number), spec.gpus(name))
            for number, name in enumerate(POOLS)
        }
        pools = np.zeros(2, dtype=POOL)
        pools["head"] = -1
        rules = np.zeros(1, dtype=RULES)
        rules[0] = (
            spec.step_base,
            spec.step_each,
            spec.decode_slots,
            spec.kv_limit,
            spec.dispatch is Dispatch.PUSH,
            spec.zero_rejects,
            math.inf if target_ttft is None else target_ttft,
        )
        empty = State(
            new_requests(
                trace.arrivals,
                trace.prompts,
                spec.cached(trace, seed),
                spec.work(PoolName.PREFILL, trace, seed),
                trace.outputs,
            ),
            pools,
            np.zeros(1, dtype=FRONT),
            rules,
            np.zeros(0, dtype=REPLICA),
            np.zeros((0, spec.decode_slots), dtype=SLOT),
            np.zeros((2, 0)),
            np.zeros(0, dtype=np.int64),
        )
        self.state = with_rows(empty, FIRST_ROWS)

    def advance(self, until: float) -> None:
        """Process all events before ``until``, in seconds."""
        kernel.advance(self.state, until)

    def totals(self, pool: PoolName) -> Totals:
        """Return a pool's counters."""
        record = self.state.pools[POOLS.index(pool)].item()
        return Totals(*record[3:])  # Without the queue and the time of ``available``.

    def front(self) -> FrontTotals:
        """Return the frontends' counters."""
        return FrontTotals(*self.state.front[0].item())

    def used_gpus(self) -> int:
        """Return the GPUs of all replicas, including those that start or drain."""
        return sum(p.running * p.gpus for p in self.pools.values())

    def _launch(self, pool: Pool, now: float, *, warm: bool = False) -> None:
        cold = 0.0 if warm else self.spec.cold(pool.rng)
        fails = not warm and pool.rng.random() < self.spec.launch_failure
        free = np.flatnonzero(self.state.replicas["state"] == FREE)
        if not len(free):
            self.state = with_rows(self.state, 2 * len(self.state.replicas))
            free = np.flatnonzero(self.state.replicas["state"] == FREE)
        row = int(free[0])
        replica = self.state.replicas[row]
        for name in ("used", "active", "at", "clock", "kv"):
            replica[name] = 0
        replica["pool"], replica["state"], replica["head"] = POOLS.index(pool.name), STARTING, -1
        pool.launched[row] = now
        pool.launches += not warm
        if warm:
            kernel.happen(self.state, row, now)
            return
        pool.starting[row] = (now, math.inf if fails else now + cold)
        if fails:
            pool.failing[row] = now + cold
        else:
            kernel.schedule(self.state, row, now + cold)

    def start(self, name: PoolName, count: int, now: float = 0.0) -> None:
        """Add replicas that serve immediately, as at the beginning of a trace."""
        pool = self.pools[name]
        pool.desired = count
        for _ in range(count):
            self._launch(pool, now, warm=True)

    def observe(self, now: float, elapsed: float) -> None:
        """Register the replicas that became ready, failed or finished draining by ``now``.

        The instances of the last ``elapsed`` seconds are billed first.
        """
        for gpus in self.instance_seconds:
            self.instance_seconds[gpus] += self.instances(gpus) * elapsed
        for pool in self.pools.values():
            for row in [r for r, at in pool.interrupted_at.items() if at <= now]:
                del pool.interrupted_at[row]
                if row in pool.draining:
                    interrupt(self.state, row, now)
        for pool in self.pools.values():
            for row, (launched, ready) in list(pool.starting.items()):
                if ready <= now:
                    del pool.starting[row]
                    pool.cold_starts.append(ready - launched)
            for row, at in list(pool.failing.items()):
                if at <= now:
                    del pool.failing[row], pool.starting[row]
                    self._end(pool, row, pool.launched.pop(row), at)
            for row, launched in list(pool.draining.items()):
                replica = self.state.replicas[row]
                if replica["state"] == ENDED:
                    del pool.draining[row]
                    self._end(pool, row, launched, float(replica["ended"]))

    def _end(self, pool: Pool, row: int, launched: float, at: float) -> None:
        pool.gpu_seconds += (at - launched) * pool.gpus
        pool.interrupted_at.pop(row, None)
        self.state.replicas[row]["state"] = FREE

    def keep(self, name: PoolName, desired: int, now: float) -> None:
        """Reach the desired count as far as GPUs are free, as the ECS service scheduler does."""
        pool = self.pools[name]
        pool.desired = desired
        missing = desired - len(pool.launched)
        if missing > 0:
            free_gpus = self.spec.gpu_slots - self.used_gpus()
            for _ in range(min(missing, free_gpus // pool.gpus)):
                size = self.spec.instance.gpus
                further = self.instances(size, name) > self.instances(size)
                if further and self._shortages.covers(now):
                    break
                self._launch(pool, now)
        for _ in range(-missing):
            self._remove(pool, now)

    def _remove(self, pool: Pool, now: float) -> None:
        """Remove the newest replica that is not ready, or else the one that becomes idle first.

        It drains: its GPUs are in use until its requests have ended.
        """
        if pool.starting:
            row = max(pool.starting, key=lambda r: (pool.launched[r], r))
        else:
            row = min(pool.launched, key=lambda r: (self._idle_at(r, now), r))
        served = self.state.replicas[row]["used"] or pool.launched[row] <= 0
        pool.wasted += row in pool.starting or not served
        self._drain(pool, row, now)

    def _drain(self, pool: Pool, row: int, now: float) -> None:
        pool.starting.pop(row, None)
        pool.failing.pop(row, None)
        pool.draining[row] = pool.launched.pop(row)
        kernel.drain(self.state, row, now)
        if self.state.replicas[row]["state"] == ENDED:
            self._end(pool, row, pool.draining.pop(row), now)

    def interrupt(self, now: float, elapsed: float) -> None:
        """Announce the interruptions of the last ``elapsed`` seconds: their replicas drain.

        Replicas of a pool share an instance in the order of their launches.
        """
        if self.spec.interruptions <= 0:
            return
        mean = self.spec.interruptions * self.instances(self.spec.instance.gpus) * elapsed / 3600.0
        for _ in range(arrivals(self._spot, mean)):
            groups: list[tuple[Pool, list[int]]] = []
            for pool in self.pools.values():
                rows, each = list(pool.launched), max(1, self.spec.instance.gpus // pool.gpus)
                groups += [(pool, rows[i : i + each]) for i in range(0, len(rows), each)]
            if not groups:
                return
            pool, rows = self._spot.choice(groups)
            self.interrupted += 1
            for row in rows:
                self._drain(pool, row, now)
                if row in pool.draining:
                    pool.interrupted_at[row] = now + NOTICE_SECONDS

    def _idle_at(self, row: int, now: float) -> float:
        """Return when the requests in service at a replica will have ended."""
        replica = self.state.replicas[row]
        active = int(replica["active"])
        if active == 0 or replica["pool"] == PREFILL:
            return float(replica["key"]) if active else now
        last = self.state.slots[row, :active]["end"].max()
        return float(now + (last - replica["clock"]) * kernel.step_seconds(self.state, active))

    def launches_in_progress(self, name: PoolName) -> tuple[float, ...]:
        """Return the launch times of the replicas that are not ready yet."""
        return tuple(launched for launched, _ in self.pools[name].starting.values())

    def recent_cold_starts(self, name: PoolName) -> Sequence[float]:
        """Return the durations of the last completed cold starts, in seconds."""
        return self.pools[name].cold_starts[-KEPT_COLD_STARTS:]

    def instances(self, gpus: int, another: PoolName | None = None) -> int:
        """Return the instances with ``gpus`` GPUs that hold all replicas.

        Replicas that start or drain are included, and one more of the pool ``another``.
        """
        prefill, decode = (p.running + (p.name is another) for p in self.pools.values())
        spec = self.spec
        return instances_needed(prefill, spec.prefill_gpus, decode, spec.decode_gpus, gpus)

    def close(self, now: float) -> None:
        """Add the GPU time of the replicas that still run at the end."""
        for pool in self.pools.values():
            for running in (pool.launched, pool.draining):
                for row, launched in running.items():
                    end = min(now, pool.failing.get(row, math.inf))
                    pool.gpu_seconds += max(0.0, end - launched) * pool.gpus
