"""Every policy over a trace: what the table, the plots and the benchmark are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.erlang_c import servers_needed
from ecs_dynamo.simulate.fleet import FleetSpec
from ecs_dynamo.simulate.peers import PEERS, Bounds, Clairvoyant, Peer, Static, true_counts
from ecs_dynamo.simulate.run import TICK_SECONDS, MakeScaler, Result, simulate
from ecs_dynamo.simulate.scalers import PolicyScaler
from ecs_dynamo.simulate.trace import Trace

OWN = ("slo", "queue")
"""Policies of production that measure."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all policies of a comparison share.

    Each runs ``repeats`` times, with the luck of ``seed`` and those after it: over a short trace
    one cold start more or less decides.
    """

    trace: Trace
    fleet: FleetSpec
    target: float = 2.0
    miss: float = 0.01
    low: int = 1
    high: int = 128
    seed: int = 7
    repeats: int = 1

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
        return pooled(
            [
                simulate(
                    self.trace,
                    name,
                    make,
                    fleet=self.fleet,
                    target=self.target,
                    initial=self.initial,
                    seed=self.seed + number,
                )
                for number in range(self.repeats)
            ]
        )


def pooled(results: Sequence[Result]) -> Result:
    """The means of several runs of a policy; the history is the first one's."""
    first = results[0]
    if len(results) == 1:
        return first

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(results)

    return replace(
        first,
        attainment=mean(r.attainment for r in results),
        queue_p50=mean(r.queue_p50 for r in results),
        queue_p90=mean(r.queue_p90 for r in results),
        queue_p99=mean(r.queue_p99 for r in results),
        ttft_p50=mean(r.ttft_p50 for r in results),
        ttft_p90=mean(r.ttft_p90 for r in results),
        ttft_p99=mean(r.ttft_p99 for r in results),
        gpu_hours=mean(r.gpu_hours for r in results),
        launches=round(mean(r.launches for r in results)),
        wasted=round(mean(r.wasted for r in results)),
    )


def servers_for(load: float, each: float, setting: Setting) -> int:
    """Erlang C at the setting's target."""
    return servers_needed(load, each, setting.target, setting.miss, 1.0)


def run_own(
    setting: Setting, spec: ScalingSpec, name: str | None = None, decode: ScalingSpec | None = None
) -> Result:
    """A production policy; ``spec.concurrency`` is set to each pool's slots.

    ``decode`` is that pool's own spec, where it has one.
    """

    def make(pool: str, slots: int) -> PolicyScaler:
        own = decode if decode is not None and pool == "decode" else spec
        # The queue policy's target is a share of the slots, as for the peers.
        update = {"concurrency": float(slots), "target": max(own.target * slots, 0.1)}
        return PolicyScaler(own.model_copy(update=update))

    return setting.run(name or spec.policy, make)


def own_spec(setting: Setting, policy: str) -> ScalingSpec:
    """The defaults of a production policy for the setting's bounds and target.

    A request waits in two queues: each pool may make half of the misses.
    """
    return ScalingSpec.model_validate(
        {
            "min": setting.low,
            "max": setting.high,
            "policy": policy,
            "target": 1.0,
            "target_queue_seconds": setting.target,
            "miss": setting.miss / 2,
            "cold_start_seconds": setting.fleet.cold_start,
        }
    )


OWN_MISSES = (1e-4, 0.001, 0.005, 0.02, 0.06)
OWN_HEADROOMS = (1.0, 0.5)


def run_frontier(setting: Setting) -> Iterator[Result]:
    """The slo policy for each ``headroom`` and pair of ``miss``: what attaining more costs."""
    spec = own_spec(setting, "slo")
    for headroom, prefill, decode in product(OWN_HEADROOMS, OWN_MISSES, OWN_MISSES):
        first, second = (
            spec.model_copy(update={"miss": miss, "headroom": headroom})
            for miss in (prefill, decode)
        )
        name = f"slo miss={prefill:g},{decode:g} headroom={headroom:g}"
        yield run_own(setting, first, name, second)


def run_peer(
    setting: Setting,
    name: str,
    peer: Peer,
    prefill: float,
    decode: float,
    label: str | None = None,
) -> Result:
    """A peer with one pair of targets."""
    bounds = Bounds(setting.low, setting.high)

    def make(pool: str, slots: int) -> object:
        if pool == "prefill" or name.startswith("dynamo"):
            return peer.make(bounds, prefill if pool == "prefill" else decode)
        return peer.make(bounds, decode * slots)

    return setting.run(label or name, make)  # type: ignore[arg-type]  # every peer has decide(View) -> int


def run_static(setting: Setting, name: str, counts: tuple[int, int]) -> Result:
    """A fleet that never changes."""
    return setting.run(name, lambda pool, _: Static(counts[0 if pool == "prefill" else 1]))


def peak_counts(setting: Setting, window: float = 300.0) -> tuple[int, int]:
    """The fleet that the busiest window needs, known only afterwards."""
    steps = np.arange(0.0, max(setting.trace.seconds - window, 1.0), window / 2)
    sizes = [setting.sized(float(t), float(t) + window) for t in steps]
    return max(s[0] for s in sizes), max(s[1] for s in sizes)


CLAIRVOYANT_MISSES = (1e-4, 0.01, 0.05, 0.1, 0.2, 0.4)


def run_clairvoyants(setting: Setting, *, every: bool = False) -> Iterator[Result]:
    """Schedules that know the future: Erlang C at the true load of each minute to come, for
    several tolerances; with ``every`` for pairs of them, and fleets of a fixed size beside them."""
    arrivals: list[float] = setting.trace.arrivals.tolist()
    ahead = setting.fleet.cold_start * (1 + 2 * setting.fleet.cold_start_spread)
    misses = CLAIRVOYANT_MISSES
    counts = {
        (pool, miss): true_counts(
            arrivals,
            setting.work(pool).tolist(),
            setting.slots(pool),
            target=setting.target,
            miss=miss,
            tick=TICK_SECONDS,
            low=setting.low,
        )
        for pool in ("prefill", "decode")
        for miss in misses
    }
    pairs = product(misses, misses) if every else zip(misses, misses, strict=True)
    for prefill, decode in pairs:
        chosen = {"prefill": counts["prefill", prefill], "decode": counts["decode", decode]}
        yield setting.run(
            "clairvoyant",
            lambda pool, _, chosen=chosen: Clairvoyant(  # type: ignore[misc]
                chosen[pool], TICK_SECONDS, ahead
            ),
        )
    if every:
        peak = peak_counts(setting)
        for first, second in product(range(-3, 2), range(-1, 2)):
            sizes = (max(setting.low, peak[0] + first), max(setting.low, peak[1] + second))
            yield run_static(setting, "clairvoyant", sizes)


def run_clairvoyant(setting: Setting, goal: float | None = None) -> Result:
    """The bound that knows the future: the cheapest that attains ``goal``."""
    goal = 1.0 - setting.miss if goal is None else goal
    return best(list(run_clairvoyants(setting)), goal)


def best(results: Sequence[Result], goal: float) -> Result:
    """The cheapest that reaches ``goal`` attainment; where none does, the nearest to it."""
    reached = [r for r in results if r.attainment >= goal]
    if reached:
        return min(reached, key=lambda r: r.gpu_hours)
    return max(results, key=lambda r: (round(r.attainment, 4), -r.gpu_hours))


def run_peers(setting: Setting) -> Iterator[Result]:
    """Each peer with its defaults."""
    for name, peer in PEERS.items():
        yield run_peer(setting, name, peer, peer.prefill[0], peer.decode[0])


def run_grid(setting: Setting, name: str) -> Iterator[tuple[str, Result]]:
    """A peer with each pair of its targets, and how the pair is written."""
    peer = PEERS[name]
    for prefill, decode in product(peer.prefill, peer.decode):
        pair = f"{prefill:g},{decode:g}"
        yield pair, run_peer(setting, name, peer, prefill, decode, f"{name} {pair}")
