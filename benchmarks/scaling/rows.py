"""The runs behind the rows of the benchmark: a policy with its settings in a case."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

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
        return _cheapest_fixed(setting)
    if job.policy == ORACLE:
        return _oracle(setting)
    if job.policy == BOUND:
        return compare.run_clairvoyant(setting, GOAL)
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
    del arbitrated
    return compare.run_policy(setting, spec.model_copy(update=changes), job.row)


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


def _cheapest_fixed(setting: Setting) -> Result:
    """Return the cheapest fixed fleet that meets the goal, or the best split of a limited one."""
    first, second = compare.peak_counts(setting)
    limit = setting.fleet.gpu_slots
    if first + second > limit:
        share = round(limit * first / (first + second))
        splits = range(max(1, share - 6), min(limit - 1, share + 6) + 1)
        results = [compare.run_static(setting, FIXED, (n, limit - n)) for n in splits]
        return max(results, key=lambda r: r.attainment)
    results = []
    smallest, _ = _fewest(setting, lambda n: (2 * first + 4, n), 2 * second + 4)
    for decode in range(smallest, smallest + 4):
        count, tried = _fewest(setting, partial(_pair, decode), 2 * first + 4)
        results += tried
        if count <= 1:
            break
    return compare.best(results, GOAL)


def _pair(decode: int, prefill: int) -> tuple[int, int]:
    return prefill, decode


def _fewest(
    setting: Setting, counts: Callable[[int], tuple[int, int]], high: int
) -> tuple[int, list[Result]]:
    """Return the fewest replicas of a pool that meet the goal, by bisection, and all runs."""
    low, results = 1, []
    while low < high:
        middle = (low + high) // 2
        results.append(compare.run_static(setting, FIXED, counts(middle)))
        low, high = (low, middle) if results[-1].attainment >= GOAL else (middle + 1, high)
    results.append(compare.run_static(setting, FIXED, counts(high)))
    return high, results


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
