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


def _quantiles(values: NDArray[np.float32]) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, 0.0, 0.0
    p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99), method="lower").tolist()
    return p50, p90, p99


def summarize(
    trace: Trace,
    policy: str,
    targets: Targets,
    cluster: Cluster,
    history: tuple[tuple[float, int, int], ...],
) -> Result:
    """Return the result of a run that has ended."""
    requests = cluster.state.requests
    wait = requests["prefill_wait"] + requests["decode_wait"]
    queue, ttft = _quantiles(wait), _quantiles(requests["ttft"])
    pools = cluster.pools.values()
    return Result(
        policy,
        trace.name,
        len(trace),
        float(np.mean(wait <= targets.queue)) if len(trace) else 1.0,
        *queue,
        *ttft,
        gpu_hours=sum(p.gpu_seconds for p in pools) / 3600.0,
        launches=sum(p.launches for p in pools),
        wasted=sum(p.wasted for p in pools),
        history=history,
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
