"""What holds for every policy, whatever comes in."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.memory.scaling import (
    ColdStart,
    ColdStarts,
    ScalingState,
)
from ecs_dynamo.model.snapshot import Signal, Task
from ecs_dynamo.model.spec.scaling import (
    ScalingSpec,
    ScheduleSpec,
    scaling_of,
)
from ecs_dynamo.planning.scaling.cold_start import (
    cold_start_seconds,
    observe_cold_starts,
)
from ecs_dynamo.planning.scaling.demand import read_demand
from ecs_dynamo.planning.scaling.erlang_c import (
    fractional_servers,
    servers_needed,
)
from ecs_dynamo.planning.scaling.forecast import follow, predict, seasonal_rate, spread
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import is_open, scheduled

TICK = 15.0
LONG_AGO = -1e6


def spec(**changes: Any) -> ScalingSpec:
    values: dict[str, Any] = {
        "min": 1,
        "max": 10,
        "scale_down_stabilization_seconds": 120.0,
        "max_signal_age_seconds": 30.0,
        "cold_start_seconds": 60.0,
    }
    return scaling_of({**values, **changes})


def given_of(
    scaling: ScalingSpec,
    now: float,
    current: int,
    *signals: tuple[str, float, float],
    **more: Any,
) -> ScalingInput[ScalingSpec]:
    """Signals are (kind, value, age)."""
    made: dict[str, Any] = {
        "component": "prefill",
        "spec": scaling,
        "current": current,
        "signals": tuple(
            Signal("prefill", kind, value, "requests", now - age, "frontend")
            for kind, value, age in signals
        ),
        "state": ScalingState(),
        "observing_since": LONG_AGO,
        "now": now,
        "ready": current,
    }
    return ScalingInput(**{**made, **more})


POLICY = st.sampled_from(["slo", "queue"])
STEP = st.tuples(st.floats(0, 500), st.floats(0, 50), st.floats(0, 60), st.booleans())


@given(
    policy=POLICY,
    steps=st.lists(STEP, min_size=1, max_size=60),
    low=st.integers(0, 3),
    restarts=st.sets(st.integers(0, 60), max_size=3),
    window=st.sampled_from([0.0, 60.0, 200.0]),
)
# A depth that rounds to no service time at all.
@example(
    policy="slo",
    steps=[(5e-324, 0.0, 0.0, False), (5e-324, 2.0, 0.0, False), (0.0, 0.0, 0.0, False)],
    low=0,
    restarts=set(),
    window=0.0,
)
@settings(max_examples=150, deadline=None)
def test_bounds_steps_staleness_and_windows(
    policy: str,
    steps: list[tuple[float, float, float, bool]],
    low: int,
    restarts: set[int],
    window: float,
) -> None:
    scaling = spec(
        policy=policy,
        min=low,
        max=8,
        scale_down_stabilization_seconds=window,
        max_step_up=3,
        max_step_down=2,
        idle_seconds=90.0,
    )
    state, since, now, current = ScalingState(), 0.0, 0.0, max(low, 2)
    raised, busy = -math.inf, 0.0
    for index, (depth, rate, age, _) in enumerate(steps):
        now += TICK
        if index in restarts:
            state, since = ScalingState(), now
            raised = -math.inf
        given = given_of(
            scaling,
            now,
            current,
            ("queue_depth", depth, age),
            ("arrival_rate", rate, age),
            state=state,
            observing_since=since,
        )
        out = decide(given)
        desired, state = out.decision.desired, out.state
        assert low <= desired <= 8
        assert desired - current <= 3
        assert current - desired <= 2
        stale = age > scaling.max_signal_age_seconds
        assert out.decision.stale == stale
        if stale:
            assert desired == current
        elif depth or rate:
            busy = now
        if desired > current:
            raised = now
        if desired < current:
            assert now - raised >= window
            assert now - since >= window
        if desired == 0 < current:
            assert now - max(busy, since) >= scaling.idle_seconds
        assert f"{current} -> {desired}" in out.decision.reason
        current = desired


@given(
    policy=POLICY,
    depth=st.floats(0, 200),
    more=st.floats(0, 200),
    rate=st.floats(0, 20),
    faster=st.floats(0, 20),
    current=st.integers(1, 10),
    warm=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 4)), max_size=40),
)
@settings(max_examples=200, deadline=None)
def test_more_demand_never_gives_fewer_replicas(
    policy: str,
    depth: float,
    more: float,
    rate: float,
    faster: float,
    current: int,
    warm: list[tuple[float, float]],
) -> None:
    """From the same state: a longer queue, or a faster arrival, asks for as many at least."""
    scaling = spec(
        policy=policy,
        max=200,
        max_step_up=200,
        max_step_down=200,
        tolerance=0.0,
        scale_down_stabilization_seconds=0,
    )
    state, now = ScalingState(), 0.0
    for waits, arrives in warm:
        now += TICK
        out = decide(
            given_of(
                scaling,
                now,
                current,
                ("queue_depth", waits * current, 0),
                ("arrival_rate", arrives * current, 0),
                state=state,
            )
        )
        state = out.state
    now += TICK

    def wish(queue: float, arrivals: float) -> int:
        out = decide(
            given_of(
                scaling,
                now,
                current,
                ("queue_depth", queue, 0),
                ("arrival_rate", arrivals, 0),
                state=state,
            )
        )
        return out.decision.desired

    assert wish(depth + more, rate) >= wish(depth, rate)
    assert wish(depth, rate + faster) >= wish(depth, rate)


@given(policy=POLICY, depth=st.floats(0, 100), age=st.floats(31, 1000))
def test_a_stale_source_beside_a_fresh_one_never_lowers(
    policy: str, depth: float, age: float
) -> None:
    scaling = spec(policy=policy, max_step_down=10, scale_down_stabilization_seconds=0)
    given = given_of(
        scaling,
        1000.0,
        5,
        ("queue_depth", 0.0, 0.0),
        ("arrival_rate", 0.0, 0.0),
        ("queue_depth", depth, age),
    )
    assert decide(given).decision.desired >= 5


def test_a_source_that_is_always_late_declares_its_own_maximum_age() -> None:
    def depth(age: float) -> Signal:
        return Signal("prefill", "queue_depth", 8, "requests", 1000.0 - age, "cloudwatch", 300.0)

    given = given_of(spec(policy="queue"), 1000.0, 1)
    assert not decide(replace(given, signals=(depth(299.0),))).decision.stale
    assert decide(replace(given, signals=(depth(301.0),))).decision.stale
    own = replace(depth(31.0), max_age=0.0)
    assert decide(replace(given, signals=(own,))).decision.stale


@pytest.mark.parametrize("policy", ["slo", "queue"])
def test_from_zero_above_the_threshold_or_by_a_rate_alone(policy: str) -> None:
    def desired(scaling: ScalingSpec, depth: float, rate: float) -> tuple[int, str]:
        signals = (("queue_depth", depth, 0.0), ("arrival_rate", rate, 0.0))
        decision = decide(given_of(scaling, 100.0, 0, *signals)).decision
        return decision.desired, decision.reason

    anything = spec(policy=policy, min=0)
    assert desired(anything, 0, 0)[0] == 0
    # Dynamo answers 404 without workers: nothing queues, requests only come.
    assert desired(anything, 0, 0.2)[0] == 1
    assert desired(anything, 9, 0)[0] >= 1
    picky = spec(policy=policy, min=0, activation_threshold=5)
    count, reason = desired(picky, 5, 2)
    assert count == 0
    assert "stays at zero up to 5 requests" in reason
    assert desired(picky, 6, 0)[0] >= 1
    # Once it runs, the threshold is of no matter.
    running = given_of(picky, 100.0, 1, ("queue_depth", 2, 0.0), ("arrival_rate", 1.0, 0.0))
    assert decide(running).decision.desired == 1
    told = decide(given_of(picky, 100.0, 0, ("desired_replicas", 2, 0.0)))
    assert told.decision.desired == 2


def test_the_largest_demand_wins_and_in_flight_only_stands_in() -> None:
    given = given_of(
        spec(),
        100.0,
        1,
        ("queue_depth", 3, 0),
        ("queue_depth", 7, 5),
        ("in_flight", 99, 0),
        ("desired_replicas", 4, 0),
    )
    demand = read_demand(given)
    assert (demand.queue, demand.replicas, demand.incomplete) == (7, 4, False)
    alone = read_demand(given_of(spec(), 100.0, 1, ("in_flight", 99, 0)))
    assert alone.queue == 99
    nothing = read_demand(given_of(spec(), 100.0, 1))
    assert nothing.why_stale is not None
    assert "no signal" in nothing.why_stale


@pytest.mark.parametrize("policy", ["slo", "queue"])
def test_the_planners_count_is_followed_within_bounds(policy: str) -> None:
    scaling = spec(policy=policy, max=6)
    out = decide(given_of(scaling, 100.0, 2, ("desired_replicas", 5, 0)))
    assert (out.decision.desired, "planner wants 5" in out.decision.reason) == (5, True)
    many = decide(given_of(scaling, 100.0, 5, ("desired_replicas", 50, 0)))
    assert many.decision.desired == 6


def test_static_keeps_the_declared_count_and_schedules_bound_it() -> None:
    night = ScheduleSpec(cron="0 22 * * *", hours=8, timezone="Europe/Berlin", max=2)
    morning = ScheduleSpec(cron="0 7 * * 1-5", hours=4, min=6)
    scaling = spec(policy="static", schedule=(night, morning))
    berlin_midnight = 1_764_025_200.0  # 2025-11-25 00:00 in Berlin, a Tuesday
    assert is_open(night, berlin_midnight)
    assert not is_open(morning, berlin_midnight)
    assert scheduled(scaling, berlin_midnight).max == 2
    seven_utc = berlin_midnight + 8 * 3600
    assert scheduled(scaling, seven_utc).min == 6
    assert not is_open(night, seven_utc)
    assert scheduled(scaling, seven_utc + 5 * 3600) == scaling
    both = scaling.model_copy(update={"schedule": (night, replace_window(night, min=4, max=None))})
    assert (scheduled(both, berlin_midnight).min, scheduled(both, berlin_midnight).max) == (4, 4)
    for declared, expected in ((3, 3), (50, 10), (0, 1)):
        given = given_of(scaling, seven_utc + 5 * 3600, 7, declared=declared)
        assert decide(given).decision.desired == expected


def replace_window(window: ScheduleSpec, **changes: Any) -> ScheduleSpec:
    return ScheduleSpec.model_validate({**window.model_dump(), **changes})


def run_load(
    scaling: ScalingSpec, rate: float, service: float, ticks: int, current: int
) -> tuple[ScalingOutput, int]:
    """A steady load on a pool whose launches take one cold start; the last output and count."""
    state, now, queue = ScalingState(), 0.0, 0.0
    ready, starting = current, list[float]()
    out = None
    for _ in range(ticks):
        now += TICK
        ready += sum(at + 60 <= now for at in starting)
        starting = [at for at in starting if at + 60 > now]
        queue = max(rate * service, queue + (rate - ready / service) * TICK)
        out = decide(
            given_of(
                scaling,
                now,
                current,
                ("queue_depth", queue, 0),
                ("arrival_rate", rate, 0),
                state=state,
                ready=ready,
                starting=tuple(starting),
            )
        )
        state, desired = out.state, out.decision.desired
        starting += [now] * max(0, desired - current)
        ready -= max(0, current - desired)
        current = desired
    assert out is not None
    return out, current


def test_slo_learns_the_service_time_and_staffs_for_it() -> None:
    out, count = run_load(spec(max=50, concurrency=1), rate=8.0, service=0.5, ticks=80, current=2)
    assert 4 < count <= 7  # four are busy all the time
    service = out.state.service_time
    assert service is not None
    assert service.busy / service.done == pytest.approx(0.5, rel=0.25)
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
        given = given_of(
            scaling,
            now,
            counts[-1] if counts else 6,
            ("queue_depth", 32.0, 0),
            ("arrival_rate", 32.0 / service, 0),
            state=state,
        )
        out = decide(given)
        state = out.state
        counts.append(out.decision.desired)
    assert max(counts[80:]) - min(counts[80:]) <= 1


def test_what_was_attained_is_the_budget_for_the_margin() -> None:
    """On time for hours: fewer are kept. Then a late stretch: more again, up to a reserve."""
    scaling = spec(max=60, concurrency=1, miss=0.05, scale_down_stabilization_seconds=0)
    state, now, wishes, cautions = ScalingState(), 0.0, [], []
    for tick in range(1200):
        now += TICK
        late = 1000 <= tick < 1010
        given = given_of(
            scaling,
            now,
            20,
            ("queue_depth", 90.0 if late else 10.0, 0),
            ("arrival_rate", 20.0, 0),
            state=state,
        )
        out = decide(given)
        state = out.state
        wishes.append(int(out.decision.reason.split("wants ")[-1].split(",")[0]))
        assert state.service_time is not None
        cautions.append(state.service_time.caution)
    assert cautions[999] == 0
    assert wishes[999] < wishes[60]
    assert cautions[1010] > 0.3
    assert cautions[1199] < cautions[1010]
    assert wishes[1020] > wishes[999]


def test_a_level_returns_to_the_mean_once_that_was_seen_for_long() -> None:
    """Waves about 10 that are gone after a while: a crest is not taken for what will be."""
    state, now = None, 0.0

    def wave(at: float) -> float:
        return 10.0 + 4.0 * math.sin(2 * math.pi * at / 800.0)

    while now < 6 * 3600 + 200:
        now += TICK
        state = follow(state, wave(now), now, 400.0)
    assert state is not None
    assert state.level > 12
    assert predict(state, 400.0) < 11.5
    fresh, now = None, 0.0
    while now < 600:
        now += TICK
        fresh = follow(fresh, 10.0 + now / 150, now, 400.0)
    assert fresh is not None
    assert predict(fresh, 400.0) >= 0.98 * fresh.level  # a rise is believed until shown otherwise


def test_slo_falls_back_to_the_depth_without_a_rate() -> None:
    out = decide(given_of(spec(target=4), 100.0, 1, ("queue_depth", 12, 0)))
    assert out.decision.desired == 3


def test_slo_counts_what_is_starting() -> None:
    """The same backlog asks for fewer where replicas are on their way already."""
    scaling = spec(max=50, max_step_up=50)
    out, count = run_load(scaling, rate=8.0, service=0.5, ticks=60, current=6)
    state = out.state
    assert state.service_time is not None
    jump = replace(state.service_time, queue=4.0)
    at = state.service_time.at + TICK

    def ask(starting: tuple[float, ...]) -> int:
        given = given_of(
            scaling,
            at,
            count + len(starting),
            ("queue_depth", 600.0, 0),
            ("arrival_rate", 14.0, 0),
            ready=count,
            starting=starting,
            state=replace(state, service_time=jump),
        )
        text = decide(given).decision.reason
        return int(text.rsplit("wants ", 1)[1].split(",")[0])

    assert ask((at - 50.0,) * 6) < ask(())


def test_cold_starts_are_measured_and_restored() -> None:
    def task(arn: str, created: float, started: float | None) -> Task:
        return Task(arn, "td", "RUNNING", "RUNNING", created_at=created, started_at=started)

    early = task("a", 0.0, 40.0)
    known = observe_cold_starts(ColdStarts(), [early], [], now=50.0)
    assert known.starting == {"a"}
    known = observe_cold_starts(known, [early], [early], now=90.0)
    assert known.samples == (ColdStart("a", 90.0),)
    assert observe_cold_starts(known, [early], [early], now=120.0) == known
    # After a restart: ECS's own timestamps.
    fresh = observe_cold_starts(ColdStarts(), [early], [early], now=5000.0)
    assert fresh.samples == (ColdStart("a", 40.0),)
    assert cold_start_seconds(ColdStarts(), 300.0) == 300.0
    many = ColdStarts(tuple(ColdStart(str(i), float(i)) for i in range(1, 101)))
    assert cold_start_seconds(many, 1.0) == 76.0
    unknown = Task("b", "td", "RUNNING", "RUNNING")
    assert observe_cold_starts(ColdStarts(), [unknown], [unknown], 1.0) == ColdStarts()


@given(st.floats(0.01, 200), st.floats(0.01, 20), st.floats(0, 30), st.floats(0.001, 0.5))
def test_staffing_is_stable_and_monotone(
    load: float, service: float, wait: float, miss: float
) -> None:
    servers = servers_needed(load, service, wait, miss, 1.0)
    assert servers > load
    assert servers_needed(load * 1.1, service, wait, miss, 1.0) >= servers
    assert servers_needed(load, service, wait + 1, miss, 1.0) <= servers
    assert servers_needed(load, service, wait, miss / 2, 1.0) >= servers
    part = fractional_servers(load, service, wait, miss, 1.0)
    assert load <= part <= servers < part + 1 + 1e-9  # A chance that is just the limit rounds.
    assert fractional_servers(load * 1.001, service, wait, miss, 1.0) >= part - 1e-9


def test_staffing_agrees_with_erlang_c() -> None:
    # 10 erlangs: C(14, 10) = 0.174, C(15, 10) = 0.102, C(20, 10) = 0.0037 (Erlang C tables).
    assert servers_needed(10, 1, 0, 0.103, 1.0) == 15
    assert servers_needed(10, 1, 0, 0.175, 1.0) == 14
    assert servers_needed(10, 1, 0, 0.004, 1.0) == 20
    assert servers_needed(0, 1, 0, 0.01, 1.0) == 0


def test_a_season_is_used_once_it_was_seen_and_is_better() -> None:
    state, now = None, 0.0
    day = 86_400.0

    def rate(at: float) -> float:
        return 10.0 if 8 <= (at % day) / 3600 < 20 else 1.0

    while now < 4 * day + 7.8 * 3600:
        now += 60.0
        state = follow(state, rate(now), now, 900.0)
    assert state is not None
    assert seasonal_rate(state.weekly, now) is None
    assert predict(state, 1800.0) > 4.0  # it is 7:48, and it knows what comes at eight
    assert spread(state) < 1.0
    assert follow(state, 5.0, now - 10.0, 900.0) == state


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=80), st.floats(1, 600))
@settings(deadline=None)
def test_forecasts_are_never_negative_or_wild(rates: list[float], horizon: float) -> None:
    state, now = None, 0.0
    for one in rates:
        now += TICK
        state = follow(state, one, now, horizon)
    assert state is not None
    assert 0 <= predict(state, horizon) <= 20 * max(rates) + 1
    assert 0 <= spread(state) <= 1
    assert len(state.pending) <= horizon / 30.0 + 2


NUMBER = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e300, 0.0]), st.floats(0, 50)
)


def _numbers(value: Any) -> list[float]:
    """Every number in a frozen state."""
    if isinstance(value, float):
        return [value]
    if isinstance(value, tuple):
        return [n for item in value for n in _numbers(item)]
    if is_dataclass(value):
        return [n for f in fields(value) for n in _numbers(getattr(value, f.name))]
    return []


@given(
    policy=POLICY,
    steps=st.lists(
        st.tuples(
            st.lists(
                st.tuples(
                    st.sampled_from(["queue_depth", "arrival_rate", "desired_replicas"]),
                    NUMBER,
                    NUMBER,
                    st.booleans(),
                ),
                max_size=4,
            ),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_what_is_no_number_never_decides_and_is_never_remembered(
    policy: str,
    steps: list[tuple[list[tuple[str, float, float, bool]], int]],
) -> None:
    scaling, state, current = spec(policy=policy), ScalingState(), 1
    for tick, (signals, ready) in enumerate(steps):
        now = 1e6 + tick * TICK
        made = tuple(
            Signal("prefill", kind, value, "requests", now - age, "frontend", partial=partial)
            for kind, value, age, partial in signals
        )
        given = given_of(scaling, now, current, state=state, ready=ready)
        out = decide(replace(given, signals=made))
        assert scaling.min <= out.decision.desired <= scaling.max
        assert all(math.isfinite(n) for n in _numbers(out.state))
        usable = [s for s in made if 0 <= s.value <= 1e15 and math.isfinite(s.observed_at)]
        if not usable:
            assert out.decision.desired == current
        current, state = out.decision.desired, out.state


def test_a_part_of_the_demand_raises_the_count_and_never_lowers_it() -> None:
    for policy in ("queue", "slo"):
        scaling = spec(policy=policy, scale_down_stabilization_seconds=0.0, target=1.0)
        part = Signal("prefill", "queue_depth", 0.0, "requests", 1e6, "frontend", partial=True)
        given = replace(given_of(scaling, 1e6, 5), signals=(part,))
        assert decide(given).decision.desired == 5
        more = replace(given, signals=(replace(part, value=50.0),))
        assert decide(more).decision.desired > 5


def test_nothing_is_learned_from_a_part_of_the_demand() -> None:
    scaling, state, current = spec(policy="slo", concurrency=4), ScalingState(), 3
    for tick in range(40):
        now = 1e6 + tick * TICK
        seen = given_of(
            scaling,
            now,
            current,
            ("queue_depth", 6.0, 0.0),
            ("arrival_rate", 2.0, 0.0),
            state=state,
        )
        out = decide(seen)
        state, current = out.state, out.decision.desired
    assert state.forecast is not None
    before, current = state, max(current, 2)
    for tick in range(40, 60):
        now = 1e6 + tick * TICK
        part = Signal("prefill", "queue_depth", 0.0, "requests", now, "frontend", partial=True)
        out = decide(replace(given_of(scaling, now, current, state=state), signals=(part,)))
        state = out.state
        assert out.decision.desired == current
    assert (state.service_time, state.forecast) == (before.service_time, before.forecast)
