"""Work is counted as it arrives, and its speed is measured where replicas work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.load import WorkEstimate
from ecs_dynamo.planning.scaling.load.work import (
    learn_work,
    seconds_per_request,
    seconds_per_unit,
    work_rate,
)
from ecs_dynamo.planning.scaling.policy import Demand

TICK = 15.0
PREFILL, DECODE = frozenset({Role.PREFILL}), frozenset({Role.DECODE})


def _prefill(depth: float, tokens: float, done: float, cached: float | None = None) -> Demand:
    return Demand(
        depth, 4.0, None, prompt_arrival_rate=tokens, prompt_rate=done, cached_share=cached
    )


def _learn(
    estimate: WorkEstimate | None, demand: Demand, slots: float, roles: frozenset[Role] = PREFILL
) -> WorkEstimate:
    now = TICK if estimate is None else estimate.at + TICK
    return learn_work(estimate, roles, demand, demand.arrival_rate or 0.0, slots, now)


def _steady(slots: float = 4.0) -> WorkEstimate:
    """Four requests/s of 1,000 tokens; 4,000 tokens/s keep two replicas busy."""
    estimate = None
    for _ in range(20):
        estimate = _learn(estimate, _prefill(2.0, 4_000.0, 4_000.0), slots)
    assert estimate is not None
    return estimate


def test_longer_prompts_are_load_when_they_arrive() -> None:
    estimate = _steady()
    assert seconds_per_unit(estimate) == pytest.approx(2.0 / 4_000.0, rel=0.05)
    assert seconds_per_request(estimate) == pytest.approx(0.5, rel=0.05)
    longer = _prefill(6.0, 12_000.0, 4_000.0)  # None of them is done yet.
    load = work_rate(PREFILL, longer, 4.0) * seconds_per_unit(estimate)
    assert load == pytest.approx(6.0, rel=0.05)


def test_cached_tokens_do_not_count() -> None:
    demand = _prefill(2.0, 4_000.0, 4_000.0, cached=0.75)
    assert work_rate(PREFILL, demand, 4.0) == 1_000.0


def test_decode_counts_requests_and_knows_which_of_them_wait() -> None:
    estimate = None
    for _ in range(20):
        demand = Demand(40.0, 4.0, None, waiting=20.0, upstream=3.0, prompt_arrival_rate=9e3)
        estimate = _learn(estimate, demand, 64.0, DECODE)
    assert seconds_per_request(estimate) == pytest.approx(20.0 / 4.0, rel=0.05)


def test_an_idle_component_keeps_its_speed() -> None:
    estimate = _steady()
    for _ in range(2_000):
        estimate = _learn(estimate, Demand(0.0, 0.0, None, prompt_arrival_rate=0, prompt_rate=0), 4)
    assert seconds_per_request(estimate) == pytest.approx(0.5, rel=0.05)


def test_replicas_beside_a_queue_that_is_not_theirs_are_not_slow() -> None:
    """Push dispatch: new replicas are idle while requests wait at the old ones."""
    estimate = _steady(2.0)
    for _ in range(40):
        estimate = _learn(estimate, _prefill(60.0, 4_000.0, 4_000.0), 12.0)
    assert estimate.uneven
    assert seconds_per_unit(estimate) == pytest.approx(2.0 / 4_000.0, rel=0.1)
    even = _learn(estimate, _prefill(2.0, 4_000.0, 4_000.0), 12.0)
    assert not even.uneven


def test_a_pass_without_time_teaches_nothing() -> None:
    estimate = _steady()
    assert learn_work(estimate, PREFILL, _prefill(9.0, 1.0, 1.0), 1.0, 4.0, estimate.at) is estimate
    assert seconds_per_unit(replace(estimate, done=1.0)) == 0.0
