"""A frontend's metrics page: the names in use, and the samples of one page by series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ecs_dynamo.discovery.exposition import MetricsPage, MetricsReader
from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.signals.base import SignalError

PREFIX = "dynamo_frontend_"
STAGE = "dynamo_frontend_stage_requests"
ROUTER_QUEUE = "dynamo_frontend_router_queue_pending_requests"
ROUTER_QUEUE_TOKENS = "dynamo_frontend_router_queue_pending_isl_tokens"
ACTIVE = "dynamo_frontend_active_requests"
IN_FLIGHT = "dynamo_frontend_inflight_requests"
"""The name of `ACTIVE` before Dynamo 1.0."""
QUEUED = "dynamo_frontend_queued_requests"
"""Requests before their first token; deprecated, and used only for pages without `STAGE`."""
STARTED = "dynamo_frontend_requests_started_total"
FINISHED = "dynamo_frontend_requests_total"
REJECTED = "dynamo_frontend_model_rejection_total"
FAILURES = "dynamo_frontend_failures_total"
MODEL_READY = "dynamo_frontend_model_ready"
PROMPT_TOKENS = "dynamo_frontend_input_sequence_tokens_sum"
PROMPTS = "dynamo_frontend_input_sequence_tokens_count"
OUTPUT_TOKENS = "dynamo_frontend_output_tokens_total"
OUTPUT_TOKENS_AT_END = "dynamo_frontend_output_sequence_tokens_sum"
ROUTED_TOKENS = "dynamo_component_router_input_sequence_tokens_sum"
ROUTED_CACHED_TOKENS = "dynamo_component_router_kv_selected_cached_prefix_tokens_total"
CACHED_TOKENS = "dynamo_frontend_cached_tokens_sum"
CACHED_TOKENS_REPORTS = "dynamo_frontend_cached_tokens_count"
ITL_SECONDS = "dynamo_frontend_inter_token_latency_seconds_sum"
ITL_TOKENS = "dynamo_frontend_inter_token_latency_seconds_count"
TTFT_BUCKET = "dynamo_frontend_time_to_first_token_seconds_bucket"
MIGRATIONS = "dynamo_frontend_model_migration_total"
TOO_LONG_TO_MIGRATE = "dynamo_frontend_model_migration_max_seq_len_exceeded_total"
UPTIME = "dynamo_component_uptime_seconds"
PREFILL_TOKENS = "dynamo_frontend_worker_active_prefill_tokens"
DECODE_BLOCKS = "dynamo_frontend_worker_active_decode_blocks"
KV_BLOCKS = "dynamo_frontend_model_total_kv_blocks"
LOAD_GAUGES = (PREFILL_TOKENS, DECODE_BLOCKS)
LAST_RESPONSE_GAUGES = (
    "dynamo_frontend_worker_last_time_to_first_token_seconds",
    "dynamo_frontend_worker_last_inter_token_latency_seconds",
    "dynamo_frontend_worker_last_input_sequence_tokens",
)
"""Gauges of a worker's last response (Dynamo 1.6.1): above zero once it has given one."""
METRICS = frozenset(
    {
        *(STAGE, ROUTER_QUEUE, ROUTER_QUEUE_TOKENS, ACTIVE, IN_FLIGHT, QUEUED),
        *(STARTED, FINISHED, REJECTED, FAILURES, MODEL_READY),
        *(PROMPT_TOKENS, PROMPTS, OUTPUT_TOKENS, OUTPUT_TOKENS_AT_END),
        *(ROUTED_TOKENS, ROUTED_CACHED_TOKENS, CACHED_TOKENS, CACHED_TOKENS_REPORTS),
        *(ITL_SECONDS, ITL_TOKENS, TTFT_BUCKET, KV_BLOCKS, UPTIME),
        *(MIGRATIONS, TOO_LONG_TO_MIGRATE),
        *LOAD_GAUGES,
        *LAST_RESPONSE_GAUGES,
    }
)


@dataclass(frozen=True, slots=True)
class Phase:
    """A role's labels: ``stage`` in the metrics of stages and router, ``worker`` in the others.

    ``is_first``: requests reach its workers before any other.
    """

    stage: str
    worker: str
    is_first: bool


PHASES: Mapping[Role, Phase] = {
    Role.PREFILL: Phase("prefill", "prefill", is_first=True),
    Role.DECODE: Phase("decode", "decode", is_first=False),
    Role.WORKER: Phase("aggregated", "decode", is_first=True),
}


def entry_phases(component: Component) -> tuple[Phase, ...]:
    """Return the phases by which requests reach ``component``, so that each request counts once.

    Requests reach a component with several worker roles as prefill or aggregated work: its decode
    workers continue what its prefill workers began. Beside its aggregated workers they get no
    requests, because a model is served either by aggregated workers or by prefill and decode.
    """
    phases = tuple(phase for role, phase in PHASES.items() if role in component.roles)
    return tuple(phase for phase in phases if phase.is_first) or phases


Labels = frozenset[tuple[str, str]]
Series = Mapping[Labels, float]


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one frontend: the series of each metric, by labels."""

    url: str
    metrics: Mapping[str, Series] = field(default_factory=dict)

    def series(self, metric: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """Yield labels and value of each series of ``metric`` that has ``labels``, at least."""
        required = labels.items()
        for own, value in self.metrics.get(metric, {}).items():
            if required <= own:
                yield own, value

    def total(self, metric: str, **labels: str) -> float | None:
        """Return the sum over the series that match, or None if there is none."""
        values = [value for _, value in self.series(metric, **labels)]
        return sum(values) if values else None

    def sum(self, metric: str, **labels: str) -> float:
        """Return the sum over the series that match: 0 if there is none yet."""
        return self.total(metric, **labels) or 0.0


def parse_metrics(url: str, text: str) -> Scrape:
    """Parse a frontend's Prometheus text and keep the samples in use. Raises `SignalError`."""
    reader = MetricsReader(METRICS, PREFIX)
    try:
        reader.feed(text.encode())
        page = reader.end()
    except ValueError as error:
        raise SignalError(f"{url}/metrics: {error}") from None
    return scrape_of(url, page)


def scrape_of(url: str, page: MetricsPage) -> Scrape:
    """Return the samples of ``page`` by series. Raises `SignalError` for another server's page."""
    # Before its first request a frontend shows its model but no counter: its queue is empty.
    if not page.known:
        raise SignalError(f"{url}/metrics: has none of Dynamo's frontend metrics")
    metrics: dict[str, dict[Labels, float]] = {}
    for name, sample_labels, value in page.samples:
        series = metrics.setdefault(name, {})
        labels = frozenset(sample_labels.items())
        series[labels] = series.get(labels, 0.0) + value
    return Scrape(url, metrics)
