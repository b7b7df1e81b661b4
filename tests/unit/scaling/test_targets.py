"""Queue time that a TTFT target leaves, KV bounds, and the work that the prefix cache saves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning.scaling.estimation.kv import kv_batch, observe_kv, tokens_in_decode
from ecs_dynamo.planning.scaling.estimation.targets import queue_target
from ecs_dynamo.planning.scaling.load.prefix_cache import effective_tokens
from ecs_dynamo.planning.scaling.policy import Demand

PREFILL, DECODE = frozenset({Role.PREFILL}), frozenset({Role.DECODE})
WORKER = frozenset({Role.WORKER})


def slo(**values: float) -> SloScaling:
    return SloScaling.model_validate({"max": 4, **values})


def test_without_a_ttft_the_queue_time_counts() -> None:
    assert queue_target(slo(), PREFILL, 0.4) == 2.0
    assert queue_target(slo(targetQueueSeconds=5), DECODE, 0.4) == 5.0


def test_prefill_gets_what_its_work_leaves_of_the_ttft() -> None:
    spec = slo(targetTtftSeconds=4)
    assert queue_target(spec, PREFILL, 1.0) == pytest.approx(1.5)
    assert queue_target(spec, PREFILL, 100.0) == pytest.approx(0.4)
    assert queue_target(spec, WORKER, 1.0) == pytest.approx(2.0)
    assert queue_target(spec, DECODE, 1.0) == pytest.approx(1.0)


def test_the_smaller_of_both_targets_counts() -> None:
    assert queue_target(slo(targetTtftSeconds=40, targetQueueSeconds=3), PREFILL, 1.0) == 3.0
    assert queue_target(slo(targetTtftSeconds=40), PREFILL, 1.0) == pytest.approx(28.5)


@given(ttft=st.floats(0.01, 100), work=st.floats(0, 1000))
def test_both_queues_and_the_work_fit_into_the_ttft(ttft: float, work: float) -> None:
    spec = slo(targetTtftSeconds=ttft)
    first, second = queue_target(spec, PREFILL, work), queue_target(spec, DECODE, work)
    assert first > 0
    if 1.5 * work <= 0.6 * ttft:
        assert first + second + work <= ttft * (1 + 1e-9)


def test_kv_tokens_of_a_request_are_its_prompt_and_half_its_output() -> None:
    demand = Demand(10, 2.0, None, prompt_arrival_rate=3000.0, output_rate=400.0)
    estimate = observe_kv(None, demand, 5.0, 0.0)
    assert tokens_in_decode(estimate) == pytest.approx(1600.0)
    assert kv_batch(estimate, 160_000.0) == pytest.approx(85.0)
    assert kv_batch(estimate, None) is None


def test_the_reported_use_bounds_the_batch_where_it_says_enough() -> None:
    little = observe_kv(None, Demand(10, 2.0, None, kv_usage=0.01), 5.0, 0.0)
    assert kv_batch(little, None) is None
    known = observe_kv(little, Demand(10, 2.0, None, kv_usage=0.5), 20.0, 15.0)
    assert kv_batch(known, None) == pytest.approx(34.0)


@given(tokens=st.floats(0, 1e9), share=st.none() | st.floats(-1, 2))
def test_cached_tokens_are_no_work(tokens: float, share: float | None) -> None:
    assert 0 <= effective_tokens(tokens, share) <= tokens


def test_cached_tokens_are_not_computed() -> None:
    assert effective_tokens(100.0, 0.25) == 75.0
