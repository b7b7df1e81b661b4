"""Frontend metrics as recorded from Dynamo 1.6.1 under load, and the rates of their counters."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Role
from ecs_dynamo.signals.base import SignalError
from ecs_dynamo.signals.frontend import Rates, load_by_worker, parse_metrics, queue_depth
from tests.helpers.graphs import component

RECORDED = Path(__file__).parents[2] / "fixtures" / "metrics" / "frontend-1.6.1.txt"


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


@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abc"), st.floats(0, 100)), st.booleans()),
        max_size=20,
    )
)
def test_rates_survive_restarts_and_are_never_negative(
    scrapes: list[tuple[dict[str, float], bool]],
) -> None:
    """A counter only grows, but a restarted replica starts at zero, and replicas disappear."""
    rates, totals, now = Rates(), dict.fromkeys("abc", 0.0), 0.0
    previous: dict[str, float] = {}
    for growth, restart in scrapes:
        now += 10.0
        if restart:
            totals["a"] = 0.0
        for key, value in growth.items():
            totals[key] += value
        values = {key: totals[key] for key in growth}
        rate = rates.update("m", values, now)
        expected = sum(
            totals[k] - previous[k] if totals[k] >= previous[k] else totals[k]
            for k in values
            if k in previous
        )
        assert rate is None or rate == pytest.approx(expected / 10.0)
        assert rate is None or rate >= 0
        previous = values
    assert rates.update("m", {}, now) is None


def test_load_by_worker_is_summed_over_frontends() -> None:
    scrape = parse_metrics("u", RECORDED.read_text())
    assert load_by_worker([scrape, scrape]) == {
        57036112892627719: 2 * 31692.0,
        57036112892627724: 2 * 26.0,
    }
