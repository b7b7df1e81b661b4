"""Comparison of scaling policies over a trace, for the table, the plots and the benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecs_dynamo.model.spec.scaling import QueueParameters, ScalingSpec, scaling_of
from ecs_dynamo.planning.scaling.erlang_c import servers_needed
from ecs_dynamo.simulate.arbitration import Arbiter
from ecs_dynamo.simulate.fleet import FleetSpec, PoolName
from ecs_dynamo.simulate.peers.base import Bounds, Peer
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.result import pooled
from ecs_dynamo.simulate.run import MakeScaler, Result, simulate
from ecs_dynamo.simulate.scalers import PolicyScaler, Scaler
from ecs_dynamo.simulate.traces.trace import Array, Trace

PRODUCTION_POLICIES = ("slo", "queue")
"""The production policies that react to measured demand."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The trace, fleet and goal that all policies of a comparison share.

    ``target`` is the queue time to attain, in seconds; ``miss`` is the share of requests that may
    wait longer. ``target_ttft`` and ``target_itl`` are the targets of goodput, in seconds. ``low``
    and ``high`` limit the replicas of a pool. Each policy runs ``repeats``
    times, with the random seeds from ``seed`` on: over a short trace, a single cold start can
    change the result. ``history``: keep the changes of the desired counts.
    """

    trace: Trace
    fleet: FleetSpec
    target: float = 2.0
    target_ttft: float | None = None
    target_itl: float | None = None
    miss: float = 0.01
    low: int = 1
    high: int = 128
    seed: int = 7
    repeats: int = 1
    history: bool = True

    def work(self, pool: PoolName) -> Array:
        """Return the service times of the requests in a pool, in seconds."""
        return self.fleet.work(pool, self.trace, self.seed)

    def slots(self, pool: PoolName) -> int:
        """Return the number of requests that a replica of the pool serves concurrently."""
        return self.fleet.slots(pool)

    def size_for(self, begins: Array, seconds: float) -> tuple[int, int]:
        """Return the (prefill, decode) replicas for the mean load of the busiest window.

        The windows begin at ``begins`` and last ``seconds``.
        """
        windows = np.searchsorted(self.trace.arrivals, (begins, begins + seconds)).T
        counts = []
        for pool in PoolName:
            work = self.work(pool)
            counts.append(max(self._size(pool, work[i:j], seconds) for i, j in windows))
        return counts[0], counts[1]

    def _size(self, pool: PoolName, work: Array, seconds: float) -> int:
        """Return the replicas for requests that arrive within ``seconds``."""
        load = float(work.sum()) / max(seconds, 1.0)
        service_time = float(work.mean()) if len(work) else 1.0
        return self.replicas_for(pool, load, service_time, self.miss)

    def replicas_for(self, pool: PoolName, load: float, service_time: float, miss: float) -> int:
        """Return the replicas that leave the share ``miss`` late at a ``load`` in slots."""
        servers = servers_needed(load, service_time, self.target, miss, 1.0)
        return min(max(self.low, math.ceil(servers / self.slots(pool))), self.high)

    @property
    def initial(self) -> tuple[int, int]:
        """The (prefill, decode) replicas at the start, sized for the busiest of the first ten
        minutes. They are the same for all policies, as no policy could launch more by then. In a
        limited fleet, both are reduced in proportion until they fit."""
        sizes = self.size_for(np.arange(0.0, 600.0, 60.0), 60.0)
        prefill, decode = (self.fleet.gpus(pool) for pool in PoolName)
        share = min(1.0, self.fleet.gpu_slots / (sizes[0] * prefill + sizes[1] * decode or 1))
        return max(self.low, int(share * sizes[0])), max(self.low, int(share * sizes[1]))

    def run(
        self,
        name: str,
        make: MakeScaler,
        initial: tuple[int, int] | None = None,
        *,
        arbitrated: bool = False,
    ) -> Result:
        """Run one policy over the trace; return the mean of its repeats.

        It starts with ``initial`` (prefill, decode) replicas, by default those of the setting.
        """
        initial = self.initial if initial is None else initial
        gpus = {pool: self.fleet.gpus(pool) for pool in PoolName}
        arbiters = [Arbiter(make, gpus) if arbitrated else None for _ in range(self.repeats)]
        return pooled(
            [
                simulate(
                    self.trace,
                    name,
                    arbiter.make if arbiter else make,
                    fleet=self.fleet,
                    target=self.target,
                    initial=initial,
                    seed=self.seed + number,
                    target_ttft=self.target_ttft,
                    target_itl=self.target_itl,
                    history=self.history,
                    arbitrate=arbiter,
                )
                for number, arbiter in enumerate(arbiters)
            ]
        )


def run_policy(
    setting: Setting,
    spec: ScalingSpec,
    name: str | None = None,
    decode: ScalingSpec | None = None,
    *,
    arbitrated: bool = True,
) -> Result:
    """Run a production policy as it ships; ``arbitrated``: its pools share the fleet's GPU limit.

    ``spec`` applies to both pools unless the decode pool has its own spec, ``decode``.
    """

    def make(pool: PoolName, slots: int) -> PolicyScaler:
        pool_spec = decode if decode is not None and pool is PoolName.DECODE else spec
        if isinstance(pool_spec, QueueParameters):
            # As for the peers, the queue policy's target is a share of the slots.
            target = max(pool_spec.target * slots, 0.1)
            pool_spec = pool_spec.model_copy(update={"target": target})
        return PolicyScaler(pool_spec)

    return setting.run(name or spec.policy_name, make, arbitrated=arbitrated)


def default_spec(setting: Setting, policy: str, *, latencies: bool = False) -> ScalingSpec:
    """Return the defaults of a production policy for the setting's bounds and target.

    A request waits in two queues, so each pool may cause half of the misses. Nothing is known about
    the simulated fleet: cold starts and the capacity of replicas are learned. ``latencies``: the
    targets of TTFT and inter-token latency are declared too.
    """
    return scaling_of(
        {
            "min": setting.low,
            "max": setting.high,
            "policy": policy,
            "target": 1.0,
            "target_queue_seconds": setting.target,
            "miss": setting.miss / 2,
            "target_ttft_seconds": setting.target_ttft if latencies else None,
            "target_itl_seconds": setting.target_itl if latencies else None,
        }
    )


def run_peer(
    setting: Setting,
    name: str,
    peer: Peer,
    prefill: float,
    decode: float,
    label: str | None = None,
) -> Result:
    """Run a peer with one pair of targets."""
    bounds = Bounds(setting.low, setting.high)

    def make(pool: PoolName, slots: int) -> Scaler:
        return peer.scaler(pool, slots, bounds, (prefill, decode))

    return setting.run(label or name, make)


def peak_counts(setting: Setting, window: float = 300.0) -> tuple[int, int]:
    """Return the (prefill, decode) replicas for the busiest window, in hindsight."""
    begins = np.arange(0.0, max(setting.trace.seconds - window, 1.0), window / 2)
    return setting.size_for(begins, window)


def best(results: Sequence[Result], goal: float) -> Result:
    """Return the cheapest result that attains ``goal``, or the nearest to it if none does."""
    attaining = [r for r in results if r.attainment >= goal]
    if attaining:
        return min(attaining, key=lambda r: r.gpu_hours)
    return max(results, key=lambda r: (round(r.attainment, 4), -r.gpu_hours))


def run_peers(setting: Setting) -> Iterator[Result]:
    """Run each peer with its defaults."""
    for name, peer in PEERS.items():
        yield run_peer(setting, name, peer, peer.prefill[0], peer.decode[0])
