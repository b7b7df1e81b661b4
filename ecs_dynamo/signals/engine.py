"""The engine's part of a worker page: the use of its KV cache, and the requests that wait.

Names of gauges: vLLM's were measured with the mock engine of Dynamo 1.6.1, as was
``dynamo_request_queue``. SGLang's and TensorRT-LLM's are those of their documentation. The family
``dynamo_backend_admission_*`` was read in the source of Dynamo 1.7
(lib/runtime/src/metrics/backend_admission.rs): its queue holds requests before the engine, and
``engine_wait_count`` counts those in the engine that wait for their first response.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ecs_dynamo.discovery.exposition import Sample
from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.snapshot import Signal, SignalKind

KV_USAGE = (
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "sglang:token_usage",
    "trtllm_kv_cache_utilization",
)
"""Shares from 0 to 1. The first of these names that is on a page counts."""
ADMISSION_QUEUE = ("dynamo_backend_admission_request_queue_count", "dynamo_request_queue")
"""Requests in Dynamo's queue before the engine (1.7, 1.6)."""
ENGINE_WAITING = (
    "dynamo_backend_admission_engine_wait_count",
    "vllm:num_requests_waiting",
    "sglang:num_queue_reqs",
    "trtllm_num_requests_waiting",
)
METRICS = frozenset({*KV_USAGE, *ADMISSION_QUEUE, *ENGINE_WAITING})


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The report of one worker; None: not reported.

    ``component`` is its name in Dynamo (``prefill`` or ``backend``). ``kv_usage`` is a share and
    ``waiting`` a number of requests.
    """

    component: str
    kv_usage: float | None = None
    waiting: float | None = None


def read_engine(component: str, samples: Iterable[Sample]) -> EngineReport:
    """Return the report in the samples of one worker page."""
    values: dict[str, list[float]] = {}
    for name, _, value in samples:
        values.setdefault(name, []).append(value)

    def first(names: tuple[str, ...]) -> list[float] | None:
        return next((values[name] for name in names if name in values), None)

    usage = first(KV_USAGE)
    waiting = [sum(v) for v in (first(ADMISSION_QUEUE), first(ENGINE_WAITING)) if v is not None]
    return EngineReport(
        component,
        # One sample per data-parallel engine.
        sum(usage) / len(usage) if usage else None,
        sum(waiting) if waiting else None,
    )


def engine_signals(graph: Graph, reports: Sequence[EngineReport], at: float) -> Iterator[Signal]:
    """Yield the signals of scaled worker components, observed ``at`` monotonic seconds.

    ``reports`` are those of all workers. A value that one of a component's workers does not report
    gives no signal. Components with the same name in Dynamo cannot be distinguished, so they have
    no signals.
    """
    for name in ("prefill", "backend"):
        components = [
            c for c in graph.components if not c.declared_name and name in discovery_components(c)
        ]
        if len(components) != 1 or not _reads_frontends(components[0]):
            continue
        component = components[0].name
        own = [report for report in reports if report.component == name]
        usage = [report.kv_usage for report in own if report.kv_usage is not None]
        if usage and len(usage) == len(own):
            mean = sum(usage) / len(usage)
            yield Signal(component, SignalKind.KV_USAGE, mean, "share", at, "worker")
        waiting = [report.waiting for report in own if report.waiting is not None]
        if waiting and len(waiting) == len(own):
            yield Signal(component, SignalKind.WAITING, sum(waiting), "requests", at, "worker")


def _reads_frontends(component: Component) -> bool:
    """Return whether Dynamo's own metrics are a declared source of the component's demand."""
    spec = component.scaling
    return spec is not None and any(s.source == "frontend" for s in spec.signals)
