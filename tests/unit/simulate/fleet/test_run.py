"""Whole runs: conservation, repeatability, costs, arbitration and the interpreted kernel."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.simulate.fleet.billing import INSTANCE_TYPES
from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec, PoolName
from ecs_dynamo.simulate.result import Result
from ecs_dynamo.simulate.run import simulate
from ecs_dynamo.simulate.scalers import View
from tests.unit.simulate.fleet.runs import QUIET, poisson, scripts, trace_of

COUNTS = st.lists(st.integers(0, 7), min_size=1, max_size=25)


@given(
    prefill=COUNTS,
    decode=COUNTS,
    seed=st.integers(0, 5),
    rate=st.floats(0.2, 8),
    dispatch=st.sampled_from(Dispatch),
    zero_rejects=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost(
    prefill: list[int],
    decode: list[int],
    seed: int,
    rate: float,
    dispatch: Dispatch,
    zero_rejects: bool,
) -> None:
    trace = poisson(rate, 300, 2000, seed, output=60)
    fleet = FleetSpec(
        dispatch=dispatch, gpu_slots=10, cold_start=40.0, zero_rejects=zero_rejects, kv_tokens=9000
    )
    pools, make = scripts([*prefill, 4], [*decode, 4])
    result = simulate(
        trace, "script", make, fleet=fleet, target=1.0, initial=(1, 1), seed=seed, target_ttft=3.0
    )
    first, second = pools[PoolName.PREFILL].views, pools[PoolName.DECODE].views
    rejected = 0
    for a, b in zip(first, second, strict=True):
        rejected += a.rejected
        for view in (a, b):
            assert view.queue - view.waiting == view.busy >= 0 <= view.waiting
            assert 0 <= view.utilization <= 1 + 1e-9
            assert 0 <= view.kv_usage <= 1 + 1e-9
        assert a.ready + b.ready + len(a.starting) + len(b.starting) <= fleet.gpu_slots
        assert b.upstream == a.queue
    assert rejected == result.rejected
    served = len(trace) - rejected
    assert sum(v.front_arrived for v in first) == len(trace)
    assert sum(v.arrived for v in first) == sum(v.arrived for v in second) == served
    assert sum(v.prompt_tokens for v in first) == pytest.approx(float(trace.prompts.sum()))
    if not rejected:
        done = sum(v.prompts_done for v in second)
        assert done == pytest.approx(float(trace.prompts.sum()))
        work = fleet.work(PoolName.DECODE, trace)
        assert sum(v.work for v in second) == pytest.approx(float(work.sum()))
    finished = sum(v.outputs_done for v in second)
    assert finished <= sum(v.output_tokens for v in second) + 1e-6 <= 60 * served + 1e-3
    assert result.gpu_hours > 0
    assert result.instance_hours >= result.gpu_hours - 1e-9


def test_runs_are_repeatable_by_seed() -> None:
    trace = poisson(4.0, 900, 1000, output=50)
    results = [
        simulate(
            trace,
            "script",
            scripts([2, 4, 6, 3, 5] * 9, [3, 5, 2, 4] * 9)[1],
            fleet=FleetSpec(cold_start=60.0, cached_share=0.3),
            target=1.0,
            initial=(2, 2),
            seed=seed,
        )
        for seed in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]


def test_measurements_are_those_of_the_frontends() -> None:
    fleet = replace(QUIET, kv_tokens=10_000, decode_slots=4)
    trace = trace_of([1.0, 1.0, 14.0], [4000.0, 4000.0, 40.0], [400.0, 100.0, 10.0])
    pools, make = scripts([1], [1])
    simulate(
        trace, "fixed", make, fleet=fleet, target=1.0, initial=(1, 1), tick=10.0, target_ttft=1.5
    )
    first, second = pools[PoolName.PREFILL].views[0], pools[PoolName.DECODE].views[0]
    assert (first.front_arrived, first.arrived, first.done) == (2, 2, 2)
    assert first.prompt_tokens == first.prompts_done == 8000
    assert first.work == pytest.approx(2.06)
    assert first.utilization == pytest.approx(2.06 / first.tick)
    # The second first token came after 2.06 s and a token step.
    assert first.late_share == second.late_share == 0.5
    assert second.kv_usage == pytest.approx((4400 + 0) / 10_000)
    assert second.itl_seconds is not None
    assert second.itl_seconds == pytest.approx(0.0286, abs=0.001)
    # The first decodes from 1 + 1.03 s on, the second from a second later for 100 tokens.
    busy = first.tick - 2.03
    assert second.utilization == pytest.approx(busy / first.tick)
    assert second.output_tokens * second.itl_seconds == pytest.approx(
        busy + 100 * (fleet.step_base + 2 * fleet.step_each)
    )
    assert second.outputs_done == 100
    assert pools[PoolName.PREFILL].views[-1].cached_share == 0.0


def test_targets_and_goodput() -> None:
    fleet = replace(QUIET, decode_slots=4, kv_tokens=0)
    trace = trace_of([1.0, 1.0, 60.0], [4000.0, 4000.0, 40.0], [400.0, 400.0, 10.0])

    def run(ttft: float | None, itl: float | None) -> Result:
        _, make = scripts([1], [1])
        return simulate(
            trace,
            "fixed",
            make,
            fleet=fleet,
            target=2.0,
            initial=(1, 1),
            target_ttft=ttft,
            target_itl=itl,
        )

    plain = run(None, None)
    assert (plain.latency_attainment, plain.goodput, plain.attainment) == (None, 1.0, 1.0)
    late = run(1.5, None)
    assert late.latency_attainment == late.goodput == pytest.approx(2 / 3)
    assert late.attainment == 1.0
    assert late.goodput_per_gpu_hour == pytest.approx(2 / late.gpu_hours)
    alone = fleet.step_base + fleet.step_each
    slow = run(None, alone + 1e-6)
    assert slow.goodput == pytest.approx(1 / 3)
    assert slow.itl_p50 > alone
    assert run(1.5, 0.1).goodput == pytest.approx(2 / 3)
    assert plain.prefill_wait == pytest.approx(1.03 / 3, rel=1e-3)
    assert (plain.prefill_late, plain.decode_late, plain.decode_wait) == (0, 0, 0)


def test_whole_instances_and_large_replicas_are_billed() -> None:
    trace = poisson(1.0, 3600, 100)
    four = INSTANCE_TYPES["g6.12xlarge"]
    fleet = replace(QUIET, prefill_gpus=1, decode_gpus=2, gpu_slots=8, instance=four)
    _, make = scripts([1], [9])
    result = simulate(trace, "fixed", make, fleet=fleet, target=1.0, initial=(1, 2))
    # Seven GPUs are in use, which leaves one free, too few for another decode replica.
    hours = result.instance_hours / 2
    assert result.gpu_hours == pytest.approx(7 * hours, rel=0.02)
    assert result.dollars == pytest.approx(result.instance_hours * 4.6016)
    assert result.launches == 1
    assert "g6.12xlarge" in result.fleet


def test_a_shared_limit_is_arbitrated() -> None:
    trace = poisson(1.0, 600, 100)

    def decode_first(
        views: Mapping[PoolName, View], counts: Mapping[PoolName, int], gpus: int
    ) -> Mapping[PoolName, int]:
        assert views[PoolName.DECODE].pool is PoolName.DECODE
        decode = min(counts[PoolName.DECODE], gpus - 1)
        return {PoolName.PREFILL: gpus - decode, PoolName.DECODE: decode}

    fleet = replace(QUIET, gpu_slots=6, cold_start=30.0)
    for arbitrate, expected in ((None, (5, 1)), (decode_first, (1, 5))):
        pools, make = scripts([9], [5])
        simulate(trace, "x", make, fleet=fleet, target=1.0, initial=(1, 1), arbitrate=arbitrate)
        ready = tuple(pools[name].views[-1].ready for name in PoolName)
        assert ready == expected


def test_history_has_the_changes_only() -> None:
    trace = poisson(1.0, 600, 100)
    _, make = scripts([1, 1, 2, 2, 1], [1])
    result = simulate(trace, "x", make, fleet=QUIET, target=1.0, initial=(1, 1))
    assert [counts[1:] for counts in result.history] == [(1, 1), (2, 1), (1, 1), (1, 1)]
    _, make = scripts([1], [1])
    none = simulate(trace, "x", make, fleet=QUIET, target=1.0, initial=(1, 1), history=False)
    assert none.history == ()


PROGRAM = """
import dataclasses, json, sys
from tests.unit.simulate.fleet.test_run import sample
print(json.dumps([dataclasses.asdict(sample(d)) for d in ("push", "pull")]))
"""


def sample(dispatch: str) -> Result:
    """Return the result of a small run with all parts of the model."""
    fleet = FleetSpec(
        dispatch=Dispatch(dispatch), cold_start=40.0, gpu_slots=9, kv_tokens=4000, cached_share=0.3
    )
    trace = poisson(3.0, 150, 1500, output=80)
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 6, (2, 12)).tolist()
    _, make = scripts([*counts[0], 4], [*counts[1], 4])
    return simulate(trace, "x", make, fleet=fleet, target=1.0, initial=(1, 1), target_ttft=2.0)


def test_the_compiled_kernel_equals_the_interpreted_kernel() -> None:
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = [dataclasses.asdict(sample(d)) for d in ("push", "pull")]
    assert json.loads(program.stdout) == json.loads(json.dumps(compiled))
