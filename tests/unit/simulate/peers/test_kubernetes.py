"""The HPA rises within its limit per period and falls to the largest recommendation."""

from __future__ import annotations

from ecs_dynamo.simulate.peers.kubernetes import HpaBatchSize, HpaKvCache, KedaHpa, KedaVllm
from tests.unit.simulate.peers.views import BOUNDS, view


def test_hpa_on_a_queue() -> None:
    hpa = KedaHpa(BOUNDS, 2.0)
    assert hpa.decide(view(15, 20, 4)) == 8  # At most doubled, or four more.
    assert hpa.decide(view(30, 8, 4)) == 4
    assert hpa.decide(view(45, 0, 8)) == 8  # The largest recommendation of five minutes.
    assert hpa.decide(view(400, 0, 8)) == 1


def test_hpa_tolerates_a_tenth() -> None:
    assert KedaHpa(BOUNDS, 4.0).decide(view(15, 21, 5)) == 5
    assert KedaHpa(BOUNDS, 4.0).decide(view(15, 23, 5)) == 6


def test_keda_on_vllm_sees_waiting_requests_only() -> None:
    keda = KedaVllm(BOUNDS, 5.0)
    assert keda.decide(view(15, 50, 4, waiting=30)) == 6
    assert keda.decide(view(30, 6, 6, waiting=0)) == 6  # The recommendation of 15 s ago.
    assert keda.decide(view(400, 6, 6, waiting=0)) == 1  # All six are busy.


def test_hpa_on_the_batch_size() -> None:
    decode = HpaBatchSize(BOUNDS, 0.5)
    assert decode.decide(view(15, 48, 4, slots=16, busy=48)) == 6  # 48 of 64 slots.
    assert decode.decide(view(30, 32, 4, slots=16, busy=32)) == 4
    prefill = HpaBatchSize(BOUNDS, 0.5)
    assert prefill.decide(view(15, 0, 4, utilization=0.9)) == 8


def test_hpa_on_the_cache_takes_the_larger_recommendation() -> None:
    hpa = HpaKvCache(BOUNDS, 0.5)
    assert hpa.decide(view(15, 10, 4, slots=16, busy=10, waiting=0, kv_usage=0.75)) == 6
    assert HpaKvCache(BOUNDS, 0.5).decide(view(15, 90, 4, slots=16, busy=64, waiting=26)) == 8
    assert HpaKvCache(BOUNDS, 0.5).decide(view(15, 86, 4, slots=16, busy=56, waiting=30)) == 8
    assert HpaKvCache(BOUNDS, 3.0).decide(view(15, 22, 4, waiting=18)) == 6
