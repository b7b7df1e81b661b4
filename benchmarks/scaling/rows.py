"""The runs behind the rows of the benchmark: a policy with its settings in a case."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

from benchmarks.scaling.cases import GOAL, LIMITED, Case
from benchmarks.scaling.store import Job, Measured
from ecs_dynamo.simulate import compare
from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.peers.reference import Clairvoyant, true_counts
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.run import TICK_SECONDS, Result

SLO, QUEUE, ALONE = "slo", "queue", "slo-alone"
FIXED, ORACLE, BOUND = "fixed", "oracle", "bound"
OWN = (SLO, QUEUE)
REFERENCES = (ORACLE, FIXED, BOUND)
LABELS = {
    ALONE: "slo without arbitration",
    FIXED: "cheapest fixed fleet",
    ORACLE: "oracle (slo's sizes for the true load)",
}
"""Names of rows in the document, where they differ from the policy's."""


@lru_cache(maxsize=1)
def setting_of(case: Case) -> Setting:
    """Return the setting of a case; jobs of the same case follow each other."""
    return case.setting()


def measure(job: Job) -> Measured:
    """Run a job."""
    setting = setting_of(job.case)
    started = time.perf_counter()
    result = run(setting, job)
    return measured(result, time.perf_counter() - started)


def measured(result: Result, seconds: float) -> Measured:
    """Return the stored columns of a result."""
    return Measured(
        attained=result.attainment,
        good=result.attainment,
        goodput=result.attainment * result.requests / result.gpu_hours,
        queue_p99=min(result.queue_p99, 1e6),
        ttft_p99=min(result.ttft_p99, 1e6),
        hours=result.gpu_hours,
        billed4=result.gpu_hours,
        billed8=result.gpu_hours,
        dollars=result.gpu_hours,
        launches=float(result.launches),
        seconds=seconds,
    )


def run(setting: Setting, job: Job) -> Result:
    """Return the result of a job's policy."""
    if job.policy in (SLO, QUEUE, ALONE):
        return _run_own(setting, job)
    if job.policy == FIXED:
        return _cheapest_fixed(setting)
    if job.policy == ORACLE:
        return _oracle(setting)
    if job.policy == BOUND:
        return compare.run_clairvoyant(setting, GOAL)
    peer = PEERS[job.policy]
    targets, _, option = job.settings.partition(" ")
    for label, variant in peer.variants():
        if label == option:
            prefill, decode = peer.prefill[0], peer.decode[0]
            if targets:
                prefill, decode = (float(text) for text in targets.split(","))
            return compare.run_peer(setting, job.policy, variant, prefill, decode)
    raise ValueError(f"{job.policy} has no option {option}")


def _run_own(setting: Setting, job: Job) -> Result:
    policy = SLO if job.policy == ALONE else job.policy
    spec = compare.default_spec(setting, policy)
    changes = {}
    for part in job.settings.split():
        name, _, value = part.partition("=")
        changes[name] = float(value)
    arbitrated = job.case.option == LIMITED and job.policy != ALONE
    del arbitrated
    return compare.run_policy(setting, spec.model_copy(update=changes), job.row)


def grid(policy: str) -> Iterator[str]:
    """Yield all settings of a peer to try; the first is its default."""
    for option, peer in PEERS[policy].variants():
        for prefill in peer.prefill:
            for decode in peer.decode:
                settings = f"{prefill:g},{decode:g} {option}".rstrip()
                is_default = not option and (prefill, decode) == (peer.prefill[0], peer.decode[0])
                yield "" if is_default else settings


def _cheapest_fixed(setting: Setting) -> Result:
    """Return the cheapest fixed fleet that meets the goal, or the best split of a limited one."""
    first, second = compare.peak_counts(setting)
    limit = setting.fleet.gpu_slots
    if first + second > limit:
        splits = [(count, limit - count) for count in range(1, limit)]
        return compare.best([compare.run_static(setting, FIXED, s) for s in splits], GOAL)
    results = {}
    for size in range(max(1, first - 6), first + 3):
        for other in range(max(1, second - 3), second + 3):
            results[size, other] = compare.run_static(setting, FIXED, (size, other))
    return compare.best(list(results.values()), GOAL)


def _oracle(setting: Setting) -> Result:
    counts = {
        pool: true_counts(
            setting.trace.arrivals.tolist(),
            setting.work(pool).tolist(),
            setting.slots(pool),
            target=setting.target,
            miss=setting.miss / 2,
            tick=TICK_SECONDS,
            low=setting.low,
        )
        for pool in PoolName
    }
    ahead = setting.fleet.cold_start * (1 + 2 * setting.fleet.cold_start_spread)
    return setting.run(ORACLE, lambda pool, _: Clairvoyant(counts[pool], TICK_SECONDS, ahead))
