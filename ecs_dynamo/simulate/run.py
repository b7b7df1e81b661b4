"""Simulation of one policy over one trace, tick by tick, with its latencies and costs."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.fleet import FleetSpec, Pool, PoolName, arrived_by
from ecs_dynamo.simulate.scalers import Scaler, View
from ecs_dynamo.simulate.traces.trace import Trace

TICK_SECONDS = 15.0
"""The decision period of the daemon and of most peers."""
TICK_JITTER = 0.1
"""Relative variation of a tick. The duration of real passes varies too. With exact ticks, a trace
with rounded times (to 3 s in Mooncake's) would always be observed in the same phase: just before or
just after its next batch."""
MAX_DRAIN_SECONDS = 6 * 3600.0
"""Simulated time after the last arrival; requests still queued then count as never started."""

MakeScaler = Callable[[PoolName, int], Scaler]
"""(pool, slots per replica) -> the pool's scaler."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a run. Times are in seconds.

    ``attainment`` is the share of requests that waited at most the target in both queues together.
    ``history`` has the desired counts as (time, prefill, decode).
    """

    policy: str
    trace: str
    requests: int
    attainment: float
    queue_p50: float
    queue_p90: float
    queue_p99: float
    ttft_p50: float
    ttft_p90: float
    ttft_p99: float
    gpu_hours: float
    launches: int
    wasted: int
    history: tuple[tuple[float, int, int], ...]


@dataclass(frozen=True, slots=True)
class Front:
    """Counts of the frontends between two ticks (`View`)."""

    arrived: int
    prompt_tokens: float
    prompts_done: float
    output_tokens: float
    upstream: int


class _Stage:
    """A pool with its queue and its scaler. ``begun``: how many requests have started."""

    def __init__(
        self, name: PoolName, pool: Pool, scaler: Scaler, arrivals: list[float], work: list[float]
    ) -> None:
        self.name = name
        self.pool, self.scaler = pool, scaler
        self.arrivals, self.work = arrivals, work
        self.starts: list[float] = []
        self.begun = 0
        self.arrived = 0
        self.done = 0
        self.ready_ids: set[int] = set()

    def advance(self, until: float) -> range:
        """Serve up to ``until``. Return the indices of the requests that started."""
        before = self.begun
        self.starts += self.pool.serve(self.arrivals, self.work, before, until)
        self.begun = len(self.starts)
        return range(before, self.begun)

    def view(self, now: float, tick: float, front: Front) -> View:
        """Return the scaler's view of the pool."""
        pool = self.pool
        before, self.arrived = self.arrived, arrived_by(self.arrivals, now, self.arrived)
        busy = pool.busy(now)
        finished = self.begun - busy
        done, self.done = max(0, finished - self.done), max(finished, self.done)
        ready = pool.ready(now)
        for replica in pool.replicas.values():
            if replica.ready_at <= now and replica.id not in self.ready_ids:
                self.ready_ids.add(replica.id)
                if replica.ready_at > replica.launched:
                    pool.cold_starts.append(replica.ready_at - replica.launched)
        return View(
            now=now,
            tick=tick,
            current=pool.desired,
            ready=ready,
            starting=pool.starting(now),
            queue=self.arrived - finished,
            waiting=self.arrived - self.begun,
            busy=busy,
            slots=pool.slots,
            arrived=self.arrived - before,
            done=done,
            work=sum(self.work[before : self.arrived]),
            cold_starts=tuple(pool.cold_starts[-32:]),
            pool=self.name,
            front_arrived=front.arrived,
            prompt_tokens=front.prompt_tokens,
            prompts_done=front.prompts_done,
            output_tokens=front.output_tokens,
            upstream=front.upstream if self.name is PoolName.DECODE else 0,
            itl_seconds=pool.spec.decode_token if busy else None,
            utilization=busy / (ready * pool.slots) if ready else 0.0,
        )


def simulate(
    trace: Trace,
    policy: str,
    make_scaler: MakeScaler,
    *,
    fleet: FleetSpec,
    target: float,
    initial: tuple[int, int],
    tick: float = TICK_SECONDS,
    seed: int = 7,
) -> Result:
    """Run ``policy`` over ``trace``.

    ``target`` is the longest wait in seconds that counts as attained, ``initial`` the (prefill,
    decode) replicas at the start. With the same seed, every policy meets the same cold starts and
    launch failures.
    """
    arrivals: list[float] = trace.arrivals.tolist()
    prefill_work: list[float] = (fleet.prefill_base + trace.prompts / fleet.prefill_rate).tolist()
    decode_work: NDArray[np.float64] = trace.outputs * fleet.decode_token
    prefill = _Stage(
        PoolName.PREFILL,
        Pool(fleet, random.Random(seed), 1, fleet.gpu_slots),
        make_scaler(PoolName.PREFILL, 1),
        arrivals,
        prefill_work,
    )
    decode = _Stage(
        PoolName.DECODE,
        Pool(fleet, random.Random(seed + 1), fleet.decode_slots, fleet.gpu_slots),
        make_scaler(PoolName.DECODE, fleet.decode_slots),
        [],
        [],
    )
    prefill.pool.start(initial[0], 0.0)
    decode.pool.start(initial[1], 0.0)
    order: list[int] = []
    handoff: list[tuple[float, int]] = []
    history: list[tuple[float, int, int]] = []
    outputs: list[float] = decode_work.tolist()
    prompts: list[float] = trace.prompts.tolist()
    now, count, counted_before, busy_before = 0.0, len(trace), 0, 0
    clock = random.Random(seed + 2)
    end = trace.seconds + MAX_DRAIN_SECONDS
    while now < end:
        elapsed = tick * clock.uniform(1.0 - TICK_JITTER, 1.0 + TICK_JITTER)
        until = now + elapsed
        handoff += [(prefill.starts[i] + prefill_work[i], i) for i in prefill.advance(until)]
        handoff.sort()
        cut = bisect_left(handoff, until, key=itemgetter(0))
        finished = handoff[:cut]
        for at, index in finished:
            decode.arrivals.append(at)
            decode.work.append(outputs[index])
            order.append(index)
        del handoff[:cut]
        decode.advance(until)
        now = until
        counted = arrived_by(arrivals, now, counted_before)
        busy = decode.pool.busy(now)
        upstream = counted - len(order)
        front = Front(
            arrived=counted - counted_before,
            prompt_tokens=sum(prompts[counted_before:counted]),
            prompts_done=sum(prompts[index] for _, index in finished),
            output_tokens=elapsed * 0.5 * (busy + busy_before) / fleet.decode_token,
            upstream=upstream,
        )
        counted_before, busy_before = counted, busy
        for stage, other in ((prefill, decode), (decode, prefill)):
            stage.pool.desired = max(0, stage.scaler.decide(stage.view(now, elapsed, front)))
            stage.pool.keep(now, used=len(other.pool.replicas))
        history.append((now, prefill.pool.desired, decode.pool.desired))
        if now >= trace.seconds and decode.begun >= count:
            break
    prefill.pool.close(now)
    decode.pool.close(now)
    return _result(trace, policy, target, prefill, decode, order, fleet, history)


def _result(
    trace: Trace,
    policy: str,
    target: float,
    prefill: _Stage,
    decode: _Stage,
    order: list[int],
    fleet: FleetSpec,
    history: list[tuple[float, int, int]],
) -> Result:
    count = len(trace)
    wait = np.full(count, np.inf)
    started = np.array(prefill.starts)
    first_wait = started - trace.arrivals[: len(started)]
    begun = np.array(order[: len(decode.starts)], dtype=np.int64)
    second_wait = np.array(decode.starts) - np.array(decode.arrivals[: len(decode.starts)])
    wait[begun] = first_wait[begun] + second_wait
    ttft = wait + fleet.prefill_base + trace.prompts / fleet.prefill_rate + fleet.decode_token
    p = {
        (name, q): float(np.quantile(values, q / 100, method="lower"))
        for name, values in (("queue", wait), ("ttft", ttft))
        for q in (50, 90, 99)
    }
    return Result(
        policy=policy,
        trace=trace.name,
        requests=count,
        attainment=float(np.mean(wait <= target)),
        queue_p50=p["queue", 50],
        queue_p90=p["queue", 90],
        queue_p99=p["queue", 99],
        ttft_p50=p["ttft", 50],
        ttft_p90=p["ttft", 90],
        ttft_p99=p["ttft", 99],
        gpu_hours=(prefill.pool.gpu_seconds + decode.pool.gpu_seconds) / 3600.0,
        launches=prefill.pool.launches + decode.pool.launches,
        wasted=prefill.pool.wasted + decode.pool.wasted,
        history=tuple(history),
    )
