"""The runs behind the rows of the benchmark: a policy with its settings in a case."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from benchmarks.scaling.cases import GOAL, LIMITED, Case
from benchmarks.scaling.store import Job, Measured
from ecs_dynamo.simulate import compare
from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.optimum.bound import lower_bound
from ecs_dynamo.simulate.optimum.clairvoyant import clairvoyant
from ecs_dynamo.simulate.optimum.fixed import cheapest_fixed, run_fixed
from ecs_dynamo.simulate.optimum.true_load import TrueLoad
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.run import Result
from ecs_dynamo.simulate.scalers import View

SLO, QUEUE, ALONE = "slo", "queue", "slo-alone"
FIXED, ORACLE, CLAIRVOYANT, BOUND = "fixed", "oracle", "clairvoyant", "bound"
OWN = (SLO, QUEUE)
REFERENCES = (ORACLE, FIXED, CLAIRVOYANT, BOUND)
TRIMS = 12
"""Improvements that the clairvoyant tries on its schedule."""


@lru_cache(maxsize=1)
def setting_of(case: Case) -> Setting:
    """Return the setting of a case; jobs of the same case follow each other."""
    return case.setting()


def measure(job: Job) -> Measured:
    """Run a job."""
    setting = setting_of(job.case)
    started = time.perf_counter()
    if job.policy == BOUND:
        hours = lower_bound(setting, GOAL)
        return Measured(GOAL, 0, 0, 0, 0, hours, hours, hours, 0, 0, time.perf_counter() - started)
    result = run(setting, job)
    return measured(result, time.perf_counter() - started)


def measured(result: Result, seconds: float) -> Measured:
    """Return the stored columns of a result."""
    return Measured(
        attained=result.attainment,
        good=result.goodput,
        goodput=result.goodput_per_gpu_hour,
        queue_p99=min(result.queue_p99, 1e6),
        ttft_p99=min(result.ttft_p99, 1e6),
        hours=result.gpu_hours,
        billed4=dict(result.billed_hours)[4],
        billed8=dict(result.billed_hours)[8],
        dollars=result.dollars,
        launches=float(result.launches),
        seconds=seconds,
    )


def run(setting: Setting, job: Job) -> Result:
    """Return the result of a job's policy."""
    if job.policy in (SLO, QUEUE, ALONE):
        return _run_own(setting, job)
    if job.policy == FIXED:
        is_limited = job.case.option == LIMITED
        return _best_split(setting) if is_limited else cheapest_fixed(setting, GOAL)
    if job.policy == ORACLE:
        return _run_oracle(setting)
    if job.policy == CLAIRVOYANT:
        return clairvoyant(setting, GOAL, trims=TRIMS)
    targets, option = parsed(job.policy, job.settings)
    variant = dict(PEERS[job.policy].variants())[option]
    return compare.run_peer(setting, job.policy, variant, *targets)


def _run_own(setting: Setting, job: Job) -> Result:
    policy = SLO if job.policy == ALONE else job.policy
    spec = compare.default_spec(setting, policy)
    changes = {}
    for part in job.settings.split():
        name, _, value = part.partition("=")
        changes[name] = float(value)
    arbitrated = job.case.option == LIMITED and job.policy != ALONE
    changed = spec.model_copy(update=changes)
    return compare.run_policy(setting, changed, job.row, arbitrated=arbitrated)


def parsed(policy: str, settings: str) -> tuple[tuple[float, float], str]:
    """Return a peer's targets (prefill, decode) and the label of its option."""
    peer = PEERS[policy]
    targets, _, option = settings.partition(" ")
    if not targets:
        return (peer.prefill[0], peer.decode[0]), ""
    prefill, decode = (float(text) for text in targets.split(","))
    return (prefill, decode), option


def settings_of(policy: str, targets: tuple[float, float], option: str = "") -> str:
    """Return settings as text; "" is the default."""
    if (targets, option) == parsed(policy, ""):
        return ""
    return f"{targets[0]:g},{targets[1]:g} {option}".rstrip()


def grid(policy: str, best: str, stage: int) -> Iterator[str]:
    """Yield the settings of a peer to try: targets for prefill, then for decode, then options.

    Each stage (0, 1, 2) changes the ``best`` settings of the stage before.
    """
    peer = PEERS[policy]
    (prefill, decode), option = parsed(policy, best)
    if stage == 0:
        yield from (settings_of(policy, (target, decode), option) for target in peer.prefill)
    elif stage == 1:
        yield from (settings_of(policy, (prefill, target), option) for target in peer.decode)
    else:
        labels = [label for label, _ in peer.variants()]
        yield from (settings_of(policy, (prefill, decode), label) for label in labels)


def _best_split(setting: Setting) -> Result:
    """Return the fixed split of a limited fleet that attains most, in hindsight."""
    first, second = compare.peak_counts(setting)
    limit = setting.fleet.gpu_slots
    share = round(limit * first / (first + second))
    splits = range(max(1, share - 6), min(limit - 1, share + 6) + 1)
    results = [run_fixed(setting, (count, limit - count)) for count in splits]
    return max(results, key=lambda result: result.attainment)


@dataclass(slots=True)
class _Oracle:
    """Sizes of slo for the largest load that is known to arrive within the next cold start."""

    setting: Setting
    load: TrueLoad
    pool: PoolName
    miss: float

    def decide(self, view: View) -> int:
        setting = self.setting
        ahead = setting.fleet.cold_start * (1 + setting.fleet.cold_start_spread)
        load = self.load.peak(view.now, view.now + ahead)
        if load.slot_seconds <= 0:
            return setting.low
        return setting.replicas_for(self.pool, load.slot_seconds, load.service_seconds, self.miss)


ORACLE_MISSES = (0.05, 0.02, 0.005, 1e-3, 2e-4, 4e-5, 8e-6, 1e-6, 1e-7, 1e-9, 1e-12)
"""Shares of misses for which the oracle plans, until a run meets the goal. Replicas of a pool do
not share a queue, and load varies within the minute over which it is a mean, so that more requests
are late than planned."""


def _run_oracle(setting: Setting) -> Result:
    """Return the run of slo's sizes for the true load that meets the goal at the lowest cost."""
    loads = {
        pool: TrueLoad(setting.trace, setting.fleet, pool, seed=setting.seed) for pool in PoolName
    }

    def make(miss: float, pool: PoolName, _: int) -> _Oracle:
        return _Oracle(setting, loads[pool], pool, miss)

    runs = []
    for miss in ORACLE_MISSES:
        runs.append(setting.run(ORACLE, partial(make, miss)))
        if runs[-1].attainment >= GOAL:
            break
    return compare.best(runs, GOAL)
