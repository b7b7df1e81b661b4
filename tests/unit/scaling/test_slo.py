"""The policy `slo`: what it learns, and for which moment it plans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.load import ErrorBudget
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.planning.scaling.load.work import seconds_per_request
from ecs_dynamo.planning.scaling.registry import decide
from tests.helpers.scaling import TICK, run_load, scaling_input, spec


def test_slo_learns_the_service_time_and_staffs_for_it() -> None:
    out, count = run_load(spec(max=50, concurrency=1), rate=8.0, service=0.5, ticks=80, current=2)
    assert 4 < count <= 7  # four are busy all the time
    assert seconds_per_request(out.state.work) == pytest.approx(0.5, rel=0.25)
    assert "/s per replica" in out.decision.reason
    assert "cold start 60 s" in out.decision.reason


def test_slo_follows_the_load_not_the_rate() -> None:
    """Fewer requests that each take as much longer keep as many replicas in use."""
    scaling = spec(max=50, concurrency=8)
    state, now = ScalingState(), 0.0
    counts: list[int] = []
    for tick in range(240):  # From 32/s of 1 s to 8/s of 4 s, within an hour.
        now += TICK
        service = 1.0 + 3.0 * tick / 240
        inputs = scaling_input(
            scaling,
            now,
            counts[-1] if counts else 6,
            ("queue_depth", 32.0, 0),
            ("arrival_rate", 32.0 / service, 0),
            state=state,
        )
        out = decide(inputs)
        state = out.state
        counts.append(out.decision.desired)
    assert max(counts[80:]) - min(counts[80:]) <= 1


def test_slo_falls_back_to_the_depth_without_a_rate() -> None:
    out = decide(scaling_input(spec(target=4), 100.0, 1, ("queue_depth", 12, 0)))
    assert out.decision.desired == 3


def test_slo_counts_what_is_starting() -> None:
    """The same backlog asks for fewer where replicas are on their way already."""
    scaling = spec(max=50, max_step_up=50)
    out, count = run_load(scaling, rate=8.0, service=0.5, ticks=60, current=6)
    state = out.state
    assert state.work is not None
    jump = replace(state.work, queue=4.0)
    at = state.work.at + TICK

    def ask(starting: tuple[float, ...]) -> int:
        inputs = scaling_input(
            scaling,
            at,
            count + len(starting),
            ("queue_depth", 600.0, 0),
            ("arrival_rate", 14.0, 0),
            ready=count,
            starting=starting,
            state=replace(state, work=jump),
        )
        text = decide(inputs).decision.reason
        return int(text.rsplit("wants ", 1)[1].split(",")[0])

    assert ask((at - 50.0,) * 6) < ask(())


def test_nothing_is_learned_from_a_part_of_the_demand() -> None:
    scaling, state, current = spec(policy="slo", concurrency=4), ScalingState(), 3
    for tick in range(40):
        now = 1e6 + tick * TICK
        observed = scaling_input(
            scaling,
            now,
            current,
            ("queue_depth", 6.0, 0.0),
            ("arrival_rate", 2.0, 0.0),
            state=state,
        )
        out = decide(observed)
        state, current = out.state, out.decision.desired
    assert state.forecast is not None
    before, current = state, max(current, 2)
    for tick in range(40, 60):
        now = 1e6 + tick * TICK
        part = Signal(
            "prefill", SignalKind.QUEUE_DEPTH, 0.0, "requests", now, "frontend", partial=True
        )
        out = decide(replace(scaling_input(scaling, now, current, state=state), signals=(part,)))
        state = out.state
        assert out.decision.desired == current
    assert (state.work, state.forecast) == (before.work, before.forecast)


def test_a_target_for_the_first_token_shortens_the_queue() -> None:
    """Prefill of half a second, four requests at a time."""
    roles = frozenset({Role.PREFILL})
    reasons = []
    for changes in ({}, {"target_ttft_seconds": 1.2}):
        scaling, state = spec(max=50, **changes), ScalingState()
        for tick in range(40):
            inputs = scaling_input(
                scaling,
                tick * TICK,
                6,
                ("queue_depth", 4.0, 0),
                ("arrival_rate", 8.0, 0),
                state=state,
                roles=roles,
            )
            out = decide(inputs)
            state = out.state
        reasons.append(out.decision.reason)
    assert "target 2 s" in reasons[0]
    assert "target 0.15" in reasons[1]


def test_a_component_is_charged_for_late_requests_only_while_they_wait_for_it() -> None:
    """The reported share of late first tokens is that of the whole graph."""

    def budget(waiting: float) -> ErrorBudget:
        scaling, state = spec(max=50, concurrency=4), ScalingState()
        for tick in range(40):
            inputs = scaling_input(
                scaling,
                tick * TICK,
                4,
                ("queue_depth", 8.0 + waiting, 0),
                ("arrival_rate", 8.0, 0),
                ("waiting", waiting, 0),
                ("late_share", 0.5, 0),
                state=state,
            )
            state = decide(inputs).state
        return state.budget

    assert budget(0.0).late == 0.0
    assert budget(0.0).requests > 0
    assert budget(60.0).late == pytest.approx(0.5 * budget(60.0).requests, rel=0.2)
