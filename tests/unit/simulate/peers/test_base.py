"""Sliding windows agree with a direct calculation; the options of a peer are variants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.peers.base import SlidingMax, SlidingMean
from ecs_dynamo.simulate.peers.kubernetes import KedaHpa
from ecs_dynamo.simulate.peers.registry import PEERS
from tests.unit.simulate.peers.views import BOUNDS


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 50)), min_size=1, max_size=40))
def test_windows(steps: list[tuple[int, int]]) -> None:
    mean, largest = SlidingMean(60.0), SlidingMax(60.0)
    values: list[tuple[float, int]] = []
    now = 0.0
    for seconds, value in steps:
        now += seconds
        values.append((now, value))
        after = [v for at, v in values if at > now - 60.0]
        assert mean.add(now, value) == pytest.approx(sum(after) / len(after))
        assert largest.add(now, value) == max(v for at, v in values if at >= now - 60.0)


def test_targets_of_decode_are_shares_of_the_slots() -> None:
    peer = PEERS["keda-hpa"]
    decode = peer.scaler(PoolName.DECODE, 16, BOUNDS, (1.0, 0.5))
    prefill = peer.scaler(PoolName.PREFILL, 1, BOUNDS, (1.0, 0.5))
    assert isinstance(decode, KedaHpa)
    assert isinstance(prefill, KedaHpa)
    assert (prefill.target, decode.target) == (1.0, 8.0)


def test_options_are_variants() -> None:
    labels = [label for label, _ in PEERS["knative-kpa"].variants()]
    assert labels[0] == ""
    assert len(labels) == 7
    assert [label for label, _ in PEERS["keda-hpa"].variants()] == [""]
