"""Every policy over a trace: what the table, the plots and the benchmark are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecs_dynamo.model.spec import ScalingSpec
from ecs_dynamo.planning.scaling.staffing import servers_needed
from ecs_dynamo.simulate.fleet import FleetSpec
from ecs_dynamo.simulate.peers import PEERS, Bounds, Clairvoyant, Peer, Static, true_counts
from ecs_dynamo.simulate.run import TICK_SECONDS, MakeScaler, Result, simulate
from ecs_dynamo.simulate.scalers import PolicyScaler
from ecs_dynamo.simulate.trace import Trace

OWN = ("slo", "queue")
"""Policies of production that measure."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all policies of a comparison share."""

    trace: Trace
    fleet: FleetSpec
    target: float = 2.0
    miss: float = 0.01
    low: int = 1
    high: int = 128
    seed: int = 7

    def work(self, pool: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Service times of the requests in a pool, in seconds."""
        if pool == "prefill":
            return self.fleet.prefill_base + self.trace.prompts / self.fleet.prefill_rate
        return self.trace.outputs * self.fleet.decode_token

    def slots(self, pool: str) -> int:
        """Requests that a replica of the pool serves at once."""
        return 1 if pool == "prefill" else self.fleet.decode_slots

    def sized(self, begin: float, end: float) -> tuple[int, int]:
        """(prefill, decode) replicas for the mean load between two times, in seconds."""
        first, last = np.searchsorted(self.trace.arrivals, (begin, end))
        counts = []
        for pool in ("prefill", "decode"):
            work = self.work(pool)[first:last]
            load = float(work.sum()) / max(end - begin, 1.0)
            each = float(work.mean()) if len(work) else 1.0
            servers = servers_for(load, each, self)
            counts.append(min(max(self.low, math.ceil(servers / self.slots(pool))), self.high))
        return counts[0], counts[1]

    @property
    def initial(self) -> tuple[int, int]:
        """What serves at the start: right for the busiest of the first ten minutes, whatever the
        policy, as no policy could have more by then."""
        minutes = [self.sized(60.0 * m, 60.0 * (m + 1)) for m in range(10)]
        return max(m[0] for m in minutes), max(m[1] for m in minutes)

    def run(self, name: str, make: MakeScaler) -> Result:
        """One policy over the trace."""
        return simulate(
            self.trace,
            name,
            make,
            fleet=self.fleet,
            target=self.target,
            initial=self.initial,
            seed=self.seed,
        )


def servers_for(load: float, each: float, setting: Setting) -> int:
    """Erlang C at the setting's target."""
    return servers_needed(load, each, setting.target, setting.miss, 1.0)


def run_own(setting: Setting, spec: ScalingSpec, name: str | None = None) -> Result:
    """A production policy; ``spec.concurrency`` is set to each pool's slots."""

    def make(pool: str, slots: int) -> PolicyScaler:
        del pool
        # The queue policy's target is a share of the slots, as for the peers.
        update = {"concurrency": float(slots), "target": max(spec.target * slots, 0.1)}
        return PolicyScaler(spec.model_copy(update=update))

    return setting.run(name or spec.policy, make)


def own_spec(setting: Setting, policy: str) -> ScalingSpec:
    """The defaults of a production policy for the setting's bounds and target."""
    return ScalingSpec.model_validate(
        {
            "min": setting.low,
            "max": setting.high,
            "policy": policy,
            "target": 1.0,
            "target_queue_seconds": setting.target,
            "miss": setting.miss,
            "cold_start_seconds": setting.fleet.cold_start,
        }
    )


def run_peer(setting: Setting, name: str, peer: Peer, prefill: float, decode: float) -> Result:
    """A peer with one pair of targets."""
    bounds = Bounds(setting.low, setting.high)

    def make(pool: str, slots: int) -> object:
        if pool == "prefill" or name.startswith("dynamo"):
            return peer.make(bounds, prefill if pool == "prefill" else decode)
        return peer.make(bounds, decode * slots)

    return setting.run(name, make)  # type: ignore[arg-type]  # every peer has decide(View) -> int


def run_static(setting: Setting, name: str, counts: tuple[int, int]) -> Result:
    """A fleet that never changes."""
    return setting.run(name, lambda pool, _: Static(counts[0 if pool == "prefill" else 1]))


def peak_counts(setting: Setting, window: float = 300.0) -> tuple[int, int]:
    """The fleet that the busiest window needs, known only afterwards."""
    steps = np.arange(0.0, max(setting.trace.seconds - window, 1.0), window / 2)
    sizes = [setting.sized(float(t), float(t) + window) for t in steps]
    return max(s[0] for s in sizes), max(s[1] for s in sizes)


CLAIRVOYANT_MISSES = (0.01, 0.05, 0.1, 0.2, 0.4)


def run_clairvoyant(setting: Setting, goal: float | None = None) -> Result:
    """The bound that knows the future: the cheapest of several tolerances that attains ``goal``."""
    arrivals: list[float] = setting.trace.arrivals.tolist()

    def run(miss: float) -> Result:
        def make(pool: str, slots: int) -> Clairvoyant:
            counts = true_counts(
                arrivals,
                setting.work(pool).tolist(),
                slots,
                target=setting.target,
                miss=miss,
                tick=TICK_SECONDS,
                low=setting.low,
            )
            ahead = setting.fleet.cold_start * (1 + 2 * setting.fleet.cold_start_spread)
            return Clairvoyant(counts, TICK_SECONDS, ahead)

        return setting.run("clairvoyant", make)

    goal = 1.0 - setting.miss if goal is None else goal
    return best([run(miss) for miss in CLAIRVOYANT_MISSES], goal)


def best(results: Sequence[Result], goal: float) -> Result:
    """The cheapest that reaches ``goal`` attainment; where none does, the nearest to it."""
    reached = [r for r in results if r.attainment >= goal]
    if reached:
        return min(reached, key=lambda r: r.gpu_hours)
    return max(results, key=lambda r: (round(r.attainment, 4), -r.gpu_hours))


def run_peers(setting: Setting, *, tuned: bool, goal: float = 0.99) -> Iterator[Result]:
    """Each peer: with its defaults, or with the best of its targets in hindsight."""
    for name, peer in PEERS.items():
        if not tuned:
            yield run_peer(setting, name, peer, peer.prefill[0], peer.decode[0])
            continue
        tries = [
            run_peer(setting, name, peer, prefill, decode)
            for prefill in peer.prefill
            for decode in peer.decode
        ]
        yield best(tries, goal)
