"""Requests by stage on frontend pages that were recorded from Dynamo 1.6.1 under load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Role
from ecs_dynamo.signals.base import SignalError
from ecs_dynamo.signals.frontend.page import IN_FLIGHT, QUEUED, parse_metrics
from ecs_dynamo.signals.frontend.requests import active, kv_usage, queue_depth, upstream, waiting
from ecs_dynamo.signals.frontend.workers import load_by_worker
from tests.helpers.graphs import component
from tests.unit.signals.recorded import PAGES, recorded

RECORDED = PAGES / "frontend-1.6.1.txt"


def test_queue_depth_by_role_from_recorded_metrics() -> None:
    scrape = parse_metrics("http://a:8000", RECORDED.read_text())
    both = [scrape, scrape]
    assert queue_depth(component("p", Role.PREFILL), [scrape]) == 19
    assert queue_depth(component("d", Role.DECODE), [scrape]) == 1
    assert queue_depth(component("w", Role.WORKER), [scrape]) == 0
    assert queue_depth(component("f", Role.FRONTEND), both) == 40
    assert queue_depth(component("f", Role.FRONTEND, Role.DECODE), both) == 2


def test_decode_counts_requests_past_their_first_token() -> None:
    """Measured under load: 107 active, 99 before the first token, 97 at prefill."""
    text = (
        "dynamo_frontend_active_requests 107\n"
        "dynamo_frontend_queued_requests 99\n"
        'dynamo_frontend_stage_requests{stage="dispatch",phase="prefill"} 97\n'
        'dynamo_frontend_stage_requests{stage="dispatch",phase="decode"} 2\n'
    )
    scrape = parse_metrics("u", text)
    assert queue_depth(component("p", Role.PREFILL), [scrape]) == 97
    assert queue_depth(component("d", Role.DECODE), [scrape]) == 10
    assert queue_depth(component("d", Role.DECODE), [scrape, scrape]) == 20


def test_a_router_with_a_queue_threshold_holds_the_waiting_requests() -> None:
    text = (
        'dynamo_frontend_stage_requests{stage="dispatch",phase="prefill"} 2\n'
        'dynamo_frontend_router_queue_pending_requests{worker_type="prefill"} 100\n'
        'dynamo_frontend_router_queue_pending_requests{worker_type="decode"} 3\n'
    )
    scrape = parse_metrics("u", text)
    assert queue_depth(component("p", Role.PREFILL), [scrape]) == 102
    assert queue_depth(component("d", Role.DECODE), [scrape]) == 3


def test_a_fresh_frontend_has_an_empty_queue_and_another_server_is_refused() -> None:
    fresh = parse_metrics("u", 'dynamo_frontend_model_ready{model="tiny"} 1\n')
    assert queue_depth(component("p", Role.PREFILL), [fresh]) == 0
    with pytest.raises(SignalError, match="none of Dynamo"):
        parse_metrics("u", "go_goroutines 7\n")
    with pytest.raises(SignalError, match="not Prometheus text"):
        parse_metrics("u", 'dynamo_frontend_active_requests{model="a" x\n')


@pytest.mark.parametrize(
    ("page", "role", "waits", "before", "depth"),
    [
        ("kv-disaggregated-arrived", Role.PREFILL, 11, None, 11),
        ("kv-disaggregated-arrived", Role.DECODE, 0, 11, 1),
        ("kv-disaggregated-running", Role.PREFILL, 5, None, 5),
        ("kv-disaggregated-running", Role.DECODE, 0, 5, 3),
        ("kv-aggregated-arrived", Role.WORKER, 10, None, 12),
        ("round-robin-disaggregated-running", Role.DECODE, 0, 5, 3),
        # Seven requests are in the router's queue, and one is prefilled.
        ("router-queue-after", Role.PREFILL, 8, None, 8),
        ("router-queue-after", Role.DECODE, 0, 8, 2),
        ("kv-disaggregated-listed", Role.PREFILL, 0, None, 0),
    ],
)
@pytest.mark.parametrize("deprecated", [True, False])
def test_requests_by_stage_with_and_without_the_deprecated_metrics(
    page: str, role: Role, waits: float, before: float | None, depth: float, *, deprecated: bool
) -> None:
    scrape, of = recorded(page), component("c", role)
    if not deprecated:
        metrics = {k: v for k, v in scrape.metrics.items() if k not in (QUEUED, IN_FLIGHT)}
        scrape = replace(scrape, metrics=metrics)
    assert waiting(of, [scrape]) == waits
    assert upstream(of, [scrape]) == before
    assert queue_depth(of, [scrape]) == depth
    assert queue_depth(of, [scrape, scrape]) == 2 * depth


def test_pages_without_stages_fall_back_to_the_deprecated_metrics() -> None:
    """Dynamo 0.4 has requests in flight and queued ones, whatever they wait for."""
    old = parse_metrics(
        "u",
        'dynamo_frontend_inflight_requests{model="m"} 20\n'
        'dynamo_frontend_queued_requests{model="m"} 15\n',
    )
    assert active(old) == 20
    assert waiting(component("w", Role.WORKER), [old]) == 15
    assert queue_depth(component("w", Role.WORKER), [old]) == 20
    assert queue_depth(component("p", Role.PREFILL), [old]) == 15
    assert queue_depth(component("d", Role.DECODE), [old]) == 5


def test_a_request_in_preprocessing_waits_for_the_first_workers() -> None:
    page = parse_metrics(
        "u",
        "dynamo_frontend_active_requests 5\n"
        'dynamo_frontend_stage_requests{phase="",stage="preprocess"} 3\n'
        'dynamo_frontend_stage_requests{phase="prefill",stage="dispatch"} 2\n',
    )
    assert waiting(component("p", Role.PREFILL), [page]) == 5
    assert upstream(component("d", Role.DECODE), [page]) == 5
    assert waiting(component("d", Role.DECODE), [page]) == 0
    assert queue_depth(component("d", Role.DECODE), [page]) == 0


def test_kv_usage_relates_the_blocks_in_use_to_those_of_all_workers() -> None:
    page = recorded("kv-disaggregated-running")
    assert kv_usage(component("d", Role.DECODE), [page]) == 70 / 16384
    # Each frontend counts the requests that it has routed.
    assert kv_usage(component("d", Role.DECODE), [page, page]) == 140 / 16384
    assert kv_usage(component("p", Role.PREFILL), [page]) is None
    without_kv_router = recorded("round-robin-disaggregated-running")
    assert kv_usage(component("d", Role.DECODE), [without_kv_router]) is None


def test_load_by_worker_is_summed_over_frontends() -> None:
    scrape = parse_metrics("u", RECORDED.read_text())
    assert load_by_worker([scrape, scrape]) == {
        57036112892627719: 2 * 31692.0,
        57036112892627724: 2 * 26.0,
    }
