"""Simulation of one policy over one trace, tick by tick."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from ecs_dynamo.simulate.fleet.cluster import Cluster, FrontTotals, Totals
from ecs_dynamo.simulate.fleet.spec import FleetSpec, PoolName
from ecs_dynamo.simulate.result import Result, Targets, summarize
from ecs_dynamo.simulate.scalers import Scaler, View
from ecs_dynamo.simulate.traces.trace import Trace

__all__ = ["Arbitrate", "MakeScaler", "Result", "simulate"]

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
Arbitrate = Callable[[Mapping[PoolName, View], Mapping[PoolName, int], int], Mapping[PoolName, int]]
"""(views, desired counts, GPUs of the cluster) -> the counts to apply, by pool."""


class _Observer:
    """The views of both pools, from the changes of the counters since the last tick."""

    def __init__(self, cluster: Cluster, target_ttft: float | None) -> None:
        self._cluster = cluster
        self._has_target = target_ttft is not None
        self._front = cluster.front()
        self._pools = {name: cluster.totals(name) for name in PoolName}

    def views(self, now: float, tick: float) -> dict[PoolName, View]:
        """Return the views at ``now``, ``tick`` seconds after the last ones."""
        front = self._cluster.front()
        pools = {name: self._cluster.totals(name) for name in PoolName}
        views = {name: self._view(name, now, tick, front, pools) for name in PoolName}
        self._front, self._pools = front, pools
        return views

    def _view(
        self,
        name: PoolName,
        now: float,
        tick: float,
        front: FrontTotals,
        pools: Mapping[PoolName, Totals],
    ) -> View:
        cluster, spec = self._cluster, self._cluster.spec
        pool, before, front_before = pools[name], self._pools[name], self._front
        decode = pools[PoolName.DECODE]
        outputs = front.outputs - front_before.outputs
        occupied = decode.occupied - self._pools[PoolName.DECODE].occupied
        first_tokens = front.first_tokens - front_before.first_tokens
        prefilled = front.prefilled - front_before.prefilled
        available = pool.available - before.available
        is_decode = name is PoolName.DECODE
        return View(
            now=now,
            tick=tick,
            current=cluster.pools[name].desired,
            ready=pool.ready,
            starting=cluster.launches_in_progress(name),
            queue=pool.waiting + pool.active,
            waiting=pool.waiting,
            busy=pool.active,
            slots=spec.slots(name),
            arrived=pool.arrived - before.arrived,
            done=pool.done - before.done,
            work=pool.work - before.work,
            cold_starts=tuple(cluster.recent_cold_starts(name)),
            pool=name,
            front_arrived=front.arrived - front_before.arrived,
            prompt_tokens=front.prompts - front_before.prompts,
            prompts_done=front.prompts_done - front_before.prompts_done,
            output_tokens=outputs,
            outputs_done=front.outputs_done - front_before.outputs_done,
            upstream=front.arrived - front.rejected - decode.arrived if is_decode else 0,
            itl_seconds=occupied / outputs if outputs > 0 else None,
            late_share=(front.late - front_before.late) / first_tokens
            if self._has_target and first_tokens
            else None,
            kv_usage=pool.kv / (pool.ready * spec.kv_limit) if pool.ready else 0.0,
            utilization=(pool.duty - before.duty) / available if available > 0 else 0.0,
            cached_share=(front.cached - front_before.cached) / prefilled if prefilled > 0 else 0.0,
            rejected=front.rejected - front_before.rejected,
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
    target_ttft: float | None = None,
    target_itl: float | None = None,
    arbitrate: Arbitrate | None = None,
    history: bool = True,
) -> Result:
    """Run ``policy`` over ``trace``.

    ``target`` is the longest wait in seconds that counts as attained, ``initial`` the (prefill,
    decode) replicas at the start; ``target_ttft`` and ``target_itl`` are further targets, in
    seconds. ``arbitrate`` adapts the counts of both scalers to a shared limit; without it, prefill
    takes the GPUs that it needs before decode. With the same seed, every policy meets the same cold
    starts and launch failures. ``history``: keep the changes of the desired counts.
    """
    cluster = Cluster(trace, fleet, seed=seed, target_ttft=target_ttft)
    scalers = {name: make_scaler(name, fleet.slots(name)) for name in PoolName}
    for name, count in zip(PoolName, initial, strict=True):
        cluster.start(name, count)
    observer = _Observer(cluster, target_ttft)
    changes: list[tuple[float, int, int]] = []
    clock = random.Random(seed + 2)
    now, end = 0.0, trace.seconds + MAX_DRAIN_SECONDS
    while now < end:
        elapsed = tick * clock.uniform(1.0 - TICK_JITTER, 1.0 + TICK_JITTER)
        now += elapsed
        cluster.advance(now)
        cluster.observe(now, elapsed)
        cluster.interrupt(now, elapsed)
        views = observer.views(now, elapsed)
        counts: Mapping[PoolName, int]
        counts = {name: max(0, scalers[name].decide(views[name])) for name in PoolName}
        if arbitrate is not None:
            counts = arbitrate(views, counts, fleet.gpu_slots)
        for name in PoolName:
            cluster.keep(name, counts[name], now)
        sizes = counts[PoolName.PREFILL], counts[PoolName.DECODE]
        if history and (not changes or changes[-1][1:] != sizes):
            changes.append((now, *sizes))
        if now >= trace.seconds and not any(
            view.waiting or view.upstream for view in views.values()
        ):
            break
    if history:
        changes.append((now, *changes[-1][1:]))
    cluster.close(now)
    # The requests in service end, so that all have an inter-token latency.
    cluster.advance(float("inf"))
    return summarize(
        trace, policy, Targets(target, target_ttft, target_itl), cluster, tuple(changes)
    )
