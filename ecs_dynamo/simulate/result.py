"""The outcome of a run: latencies, attained targets and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.fleet.cluster import Cluster
from ecs_dynamo.simulate.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Targets:
    """Limits that a request has to meet, in seconds; TTFT and mean ITL only if declared."""

    queue: float
    ttft: float | None = None
    itl: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a run. Times are in seconds.

    ``attainment`` is the share of requests that waited at most the target in both queues together.
    ``latency_attainment`` is that of requests within the declared targets of TTFT and mean ITL
    (None without any), and ``goodput`` that of requests within all targets. ITL quantiles are those
    of the mean ITL of each request. ``prefill_wait`` and ``decode_wait`` are the mean waits in each
    queue, ``prefill_late`` and ``decode_late`` the shares of requests that waited longer than the
    target in that queue alone (requests that never left prefill count there only).
    ``instance_hours`` and ``dollars`` are those of whole instances; ``billed_hours`` are (GPUs per
    instance, GPU hours of whole instances of that size). ``interrupted`` counts spot instances.
    ``fleet`` describes the model.

    ``history`` has the desired counts as (time, prefill, decode), with an entry for each change.
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
    history: tuple[tuple[float, int, int], ...] = ()
    latency_attainment: float | None = None
    goodput: float = 0.0
    itl_p50: float = 0.0
    itl_p90: float = 0.0
    itl_p99: float = 0.0
    prefill_wait: float = 0.0
    prefill_late: float = 0.0
    decode_wait: float = 0.0
    decode_late: float = 0.0
    instance_hours: float = 0.0
    dollars: float = 0.0
    billed_hours: tuple[tuple[int, float], ...] = ()
    rejected: int = 0
    interrupted: int = 0
    fleet: str = ""

    @property
    def goodput_per_gpu_hour(self) -> float:
        """Requests that met all declared targets, per GPU hour."""
        return self.goodput * self.requests / self.gpu_hours if self.gpu_hours > 0 else 0.0


def _quantiles(values: NDArray[np.float32]) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, 0.0, 0.0
    p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99), method="lower").tolist()
    return p50, p90, p99


def _share(condition: NDArray[np.bool_]) -> float:
    return float(condition.mean()) if len(condition) else 1.0


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else 0.0


def summarize(
    trace: Trace,
    policy: str,
    targets: Targets,
    cluster: Cluster,
    history: tuple[tuple[float, int, int], ...],
) -> Result:
    """Return the result of a run that has ended."""
    requests = cluster.state.requests
    first, second = requests["prefill_wait"], requests["decode_wait"]
    ttft, itl = requests["ttft"], requests["itl"]
    wait = first + second
    punctual = wait <= targets.queue
    fast = np.ones(len(requests), dtype=np.bool_)
    if targets.ttft is not None:
        fast &= ttft <= targets.ttft
    if targets.itl is not None:
        fast &= itl <= targets.itl
    no_latency_target = targets.ttft is None and targets.itl is None
    reached = np.isfinite(first)
    pools = cluster.pools.values()
    queue_times, ttfts, itls = _quantiles(wait), _quantiles(ttft), _quantiles(itl[np.isfinite(itl)])
    instance_hours = cluster.instance_seconds[cluster.spec.instance.gpus] / 3600.0
    return Result(
        policy,
        trace.name,
        len(trace),
        _share(punctual),
        *queue_times,
        *ttfts,
        gpu_hours=sum(p.gpu_seconds for p in pools) / 3600.0,
        launches=sum(p.launches for p in pools),
        wasted=sum(p.wasted for p in pools),
        history=history,
        latency_attainment=None if no_latency_target else _share(fast),
        goodput=_share(punctual & fast),
        itl_p50=itls[0],
        itl_p90=itls[1],
        itl_p99=itls[2],
        prefill_wait=_mean(first),
        prefill_late=_share(first > targets.queue),
        decode_wait=_mean(second[reached]),
        decode_late=_share(reached & (second > targets.queue)),
        instance_hours=instance_hours,
        dollars=instance_hours * cluster.spec.instance.dollars,
        billed_hours=tuple((n, n * s / 3600.0) for n, s in cluster.instance_seconds.items()),
        rejected=cluster.front().rejected,
        interrupted=cluster.interrupted,
        fleet=cluster.spec.describe(),
    )


def pooled(results: Sequence[Result]) -> Result:
    """Return the means of several runs of a policy, with the history of the first run."""
    first = results[0]
    if len(results) == 1:
        return first
    update: dict[str, float] = {}
    for field in fields(Result):
        value = getattr(first, field.name)
        if isinstance(value, (int, float)) and field.name != "requests":
            mean = sum(getattr(r, field.name) for r in results) / len(results)
            update[field.name] = round(mean) if isinstance(value, int) else mean
    return replace(first, **update)  # type: ignore[arg-type]  # Numbers of the fields' types.
