"""Decode compared with a reference without clocks and with an engine that works token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.simulate.fleet.cluster import Cluster
from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec, PoolName
from tests.unit.simulate.fleet.runs import QUIET, trace_of

INSTANT = replace(QUIET, prefill_base=0.0, prefill_rate=1e18)
"""Prefill takes no time, so requests arrive at decode when they arrive at all."""


def decoded(
    fleet: FleetSpec,
    arrivals: Sequence[float],
    prompts: Sequence[float],
    outputs: Sequence[float],
    replicas: int = 1,
) -> Cluster:
    cluster = Cluster(trace_of(arrivals, prompts, outputs), fleet, seed=1)
    cluster.start(PoolName.PREFILL, 1)
    cluster.start(PoolName.DECODE, replicas)
    cluster.advance(math.inf)
    return cluster


def reference(
    fleet: FleetSpec,
    arrivals: Sequence[float],
    prompts: Sequence[float],
    outputs: Sequence[float],
) -> list[tuple[float, float]]:
    """Return (begin, end) of each request on one replica, by shrinking what is left of each."""
    count = len(arrivals)
    kv = [min(p + o, fleet.kv_tokens) for p, o in zip(prompts, outputs, strict=True)]
    begins, ends = [math.nan] * count, [math.nan] * count
    left: dict[int, float] = {}
    now, following = 0.0, 0
    while following < count or left:
        while (
            following < count
            and arrivals[following] <= now
            and len(left) < fleet.decode_slots
            and sum(kv[i] for i in left) + kv[following] <= fleet.kv_tokens
        ):
            left[following], begins[following] = outputs[following], now
            following += 1
        step = fleet.step_base + fleet.step_each * len(left)
        times = [tokens * step for tokens in left.values()]
        if following < count and arrivals[following] > now:
            times.append(arrivals[following] - now)
        elapsed = min(times)
        now += elapsed
        left = {i: tokens - elapsed / step for i, tokens in left.items()}
        for i in [i for i, tokens in left.items() if tokens <= 1e-9]:
            ends[i] = now
            del left[i]
    return list(zip(begins, ends, strict=True))


@given(
    requests=st.lists(
        st.tuples(st.floats(0, 20), st.integers(1, 3000), st.integers(1, 400)),
        min_size=1,
        max_size=25,
    ),
    slots=st.integers(1, 6),
    growth=st.sampled_from([0.0, 1 / 62, 0.5]),
    dispatch=st.sampled_from(Dispatch),
)
@settings(max_examples=60, deadline=None)
def test_processor_sharing_agrees_with_the_reference(
    requests: list[tuple[float, int, int]], slots: int, growth: float, dispatch: Dispatch
) -> None:
    arrivals, prompts, outputs = zip(*sorted(requests), strict=True)
    fleet = replace(
        INSTANT, decode_slots=slots, kv_tokens=5000, batch_growth=growth, dispatch=dispatch
    )
    records = decoded(fleet, arrivals, prompts, outputs).state.requests
    expected = reference(fleet, arrivals, prompts, outputs)
    begins = np.array([b for b, _ in expected]) - np.array(arrivals)
    itls = np.array([(e - b) / o for (b, e), o in zip(expected, outputs, strict=True)])
    assert records["decode_wait"] == pytest.approx(begins, abs=1e-4)
    assert records["itl"] == pytest.approx(itls, rel=1e-4)


def test_an_engine_that_works_token_by_token_has_the_same_latencies() -> None:
    """Requests of a real engine join at the next token; the difference is less than a token."""
    rng = np.random.default_rng(3)
    arrivals = np.sort(rng.uniform(0, 100, 300)).tolist()
    outputs = rng.integers(20, 200, 300).tolist()
    fleet = replace(INSTANT, decode_slots=400, kv_tokens=0)
    now, following, ends = 0.0, 0, [0.0] * 300
    left: dict[int, int] = {}
    while following < 300 or left:
        if not left:
            now = max(now, arrivals[following])
        while following < 300 and arrivals[following] <= now:
            left[following] = outputs[following]
            following += 1
        now += fleet.step_base + fleet.step_each * len(left)
        for i in list(left):
            left[i] -= 1
            if left[i] == 0:
                ends[i] = now
                del left[i]
    itl = (np.array(ends) - np.array(arrivals)) / np.array(outputs)
    records = decoded(fleet, arrivals, [1.0] * 300, outputs).state.requests
    assert records["itl"] == pytest.approx(itl, rel=0.06)
    assert float(records["itl"].mean()) == pytest.approx(float(itl.mean()), rel=0.02)


def test_a_token_takes_longer_in_a_batch() -> None:
    fleet = replace(INSTANT, decode_token=0.03, decode_slots=16)
    alone = decoded(fleet, [0.0], [10.0], [100.0]).state.requests["itl"]
    assert alone == pytest.approx(fleet.step_base + fleet.step_each)
    full = decoded(fleet, [0.0] * 16, [10.0] * 16, [100.0] * 16).state.requests["itl"]
    assert full == pytest.approx(np.full(16, 0.03))


def test_kv_cache_bounds_admission() -> None:
    fleet = replace(INSTANT, kv_tokens=1000)
    arrivals, prompts = [0.0, 0.0, 0.0], [600.0, 500.0, 300.0]
    wait = decoded(fleet, arrivals, prompts, [100.0] * 3).state.requests["decode_wait"]
    step = fleet.step_base + fleet.step_each
    # The second does not fit beside the first, and the third does not overtake it.
    assert wait == pytest.approx([0.0, 100 * step, 100 * step])
    # A request larger than the whole cache is served alone.
    large = decoded(fleet, [0.0, 0.0], [5000.0, 10.0], [10.0, 10.0]).state.requests["decode_wait"]
    assert large == pytest.approx([0.0, 10 * step])
    unlimited = replace(fleet, kv_tokens=0)
    assert decoded(unlimited, arrivals, prompts, [100.0] * 3).state.requests[
        "decode_wait"
    ] == pytest.approx([0, 0, 0])


def test_push_balances_the_kv_cache_and_pull_the_requests() -> None:
    arrivals, prompts, outputs = [0.0] * 4, [900.0, 100.0, 100.0, 100.0], [100.0] * 4
    step = INSTANT.step_base, INSTANT.step_each
    push = decoded(INSTANT, arrivals, prompts, outputs, replicas=2).state.requests["itl"]
    assert push[0] == pytest.approx(step[0] + step[1])
    assert push[1:] == pytest.approx(np.full(3, step[0] + 3 * step[1]))
    pull = replace(INSTANT, dispatch=Dispatch.PULL)
    shared = decoded(pull, arrivals, prompts, outputs, replicas=2).state.requests["itl"]
    assert shared == pytest.approx(np.full(4, step[0] + 2 * step[1]))
