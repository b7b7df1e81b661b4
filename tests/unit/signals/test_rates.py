"""Rates between recorded pages of Dynamo 1.6.1, and of counters that restart or disappear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Role
from ecs_dynamo.signals.frontend import rates
from ecs_dynamo.signals.frontend.requests import upstream, waiting
from tests.helpers.graphs import component
from tests.unit.signals.recorded import interval, intervals, recorded

PREFILL, DECODE = component("p", Role.PREFILL), component("d", Role.DECODE)
WORKER = component("w", Role.WORKER)
COUNTER = "dynamo_frontend_requests_started_total"
ROUTERS = ("kv-disaggregated", "round-robin-disaggregated")


@pytest.mark.parametrize("router", ROUTERS)
def test_prompt_tokens_are_counted_at_arrival_and_at_the_first_token(router: str) -> None:
    """12 prompts have arrived and one has been prefilled; half a second later 6 more have been."""
    arrived = interval(f"{router}-listed", f"{router}-arrived")
    assert rates.prompt_arrival_rate(arrived, PREFILL) == 17843
    assert rates.prompt_arrival_rate(arrived, DECODE) == rates.prompt_rate(arrived) == 1475
    running = interval(f"{router}-arrived", f"{router}-running")
    assert rates.prompt_arrival_rate(running, PREFILL) == 0
    handed_over = rates.prompt_arrival_rate(running, DECODE)
    assert handed_over == rates.prompt_rate(running)
    assert handed_over > 0


def test_prompts_arrive_at_aggregated_workers_at_once() -> None:
    arrived = interval("kv-aggregated-listed", "kv-aggregated-arrived")
    assert rates.prompt_arrival_rate(arrived, WORKER) == 17843
    assert rates.prompt_rate(arrived) == 2923
    assert rates.prompt_arrival_rate(arrived, component("f", Role.FRONTEND)) is None


@pytest.mark.parametrize(
    ("router", "other", "entry"),
    [
        ("kv-disaggregated", Role.DECODE, Role.PREFILL),
        ("kv-aggregated", Role.DECODE, Role.WORKER),
        ("kv-aggregated", Role.PREFILL, Role.WORKER),
        ("kv-disaggregated", Role.WORKER, Role.PREFILL),
    ],
)
def test_a_prompt_counts_once_in_a_component_with_several_worker_roles(
    router: str, other: Role, entry: Role
) -> None:
    both = component("c", entry, other)
    arrived = interval(f"{router}-listed", f"{router}-arrived")
    assert rates.prompt_arrival_rate(arrived, both) == 17843
    scrape = recorded(f"{router}-arrived")
    assert waiting(both, [scrape]) == waiting(component("c", entry), [scrape])
    assert upstream(both, [scrape]) is None


@pytest.mark.parametrize("roles", [(Role.WORKER, Role.DECODE), (Role.PREFILL, Role.WORKER)])
def test_without_the_routers_counter_a_prompt_counts_once_as_well(roles: tuple[Role, ...]) -> None:
    name = "dynamo_frontend_input_sequence_tokens_sum"
    grown = interval(f"{name} 100\n", f"{name} 300\n")
    assert rates.prompt_arrival_rate(grown, component("c", *roles)) == 200


def test_prompts_in_the_routers_queue_have_arrived() -> None:
    """The router counts 4,344 tokens that it has sent; 10,136 wait in its queue."""
    arrived = interval("router-queue-before", "router-queue-after")
    assert rates.prompt_arrival_rate(arrived, PREFILL) == 4344 + 10136


def test_without_the_routers_counter_first_tokens_and_pending_work_count() -> None:
    def page(prompt: int, pending: int) -> str:
        return (
            f"dynamo_frontend_input_sequence_tokens_sum {prompt}\n"
            f'dynamo_frontend_worker_active_prefill_tokens{{worker_type="prefill"}} {pending}\n'
        )

    grown = interval(page(100, 50), page(300, 450))
    assert rates.prompt_arrival_rate(grown, PREFILL) == 600
    assert rates.prompt_arrival_rate(grown, DECODE) == rates.prompt_rate(grown) == 200
    # Pending work of a lost worker disappears; that is not a negative arrival.
    assert rates.prompt_arrival_rate(interval(page(0, 900), page(100, 0)), PREFILL) == 0


@pytest.mark.parametrize("router", ROUTERS)
def test_output_tokens_are_counted_while_they_are_generated(router: str) -> None:
    """In ``arrived`` one request has its first tokens and none has completed beside the first."""
    arrived = interval(f"{router}-listed", f"{router}-arrived", 2.0)
    assert 4 < 2 * rates.output_rate(arrived) < 20
    total = interval(f"{router}-listed", f"{router}-done")
    assert rates.output_rate(total) == 492


def test_output_tokens_of_old_frontends_count_at_completion() -> None:
    metric = "dynamo_frontend_output_sequence_tokens_sum"
    assert rates.output_rate(interval(f"{metric} 4\n", f"{metric} 24\n", 2.0)) == 10


def test_the_inter_token_latency_is_a_mean_over_the_interval() -> None:
    running = interval("kv-disaggregated-arrived", "kv-disaggregated-running")
    assert rates.itl_seconds(running) == pytest.approx(0.0198, abs=1e-4)
    assert rates.itl_seconds(interval("kv-disaggregated-done", "kv-disaggregated-done")) is None


def test_rejections_count_and_cancelled_malformed_or_misdirected_requests_do_not() -> None:
    """Eight requests of which four got 529; before, one was cancelled and one got 404."""
    rejected = interval("rejections-before", "rejections-after", 2.0)
    assert rates.rejection_rate(rejected) == 2
    assert rates.arrival_rate(rejected) == 4
    before = interval("kv-disaggregated-listed", "rejections-before")
    assert rates.rejection_rate(before) == 0
    # Two broken streams and a request without a worker, after workers were killed.
    assert rates.rejection_rate(interval("migrations-before", "migrations-after")) == 3


def test_an_unknown_model_counts_while_a_served_model_is_not_ready() -> None:
    def page(count: int, ready: int) -> str:
        return (
            f'dynamo_frontend_model_ready{{model="a"}} 1\n'
            f'dynamo_frontend_model_ready{{model="b"}} {ready}\n'
            f'dynamo_frontend_requests_total{{error_type="not_found",model="unknown"}} {count}\n'
        )

    assert rates.rejection_rate(interval(page(1, 1), page(5, 1))) == 0
    assert rates.rejection_rate(interval(page(1, 0), page(5, 0))) == 4
    served = 'dynamo_frontend_requests_total{model="c",status="success"} 9\n'
    assert rates.rejection_rate(interval(page(1, 1) + served, page(5, 1) + served)) == 4


def test_a_model_whose_other_role_has_no_worker_is_refused_with_503() -> None:
    """Dynamo 1.6.1 with a decode worker only: five requests, which `requests_total` omits."""
    metric = 'dynamo_frontend_failures_total{class="Unavailable",reason="backend.unavailable"}'
    assert rates.rejection_rate(interval(f"{metric} 3\n", f"{metric} 8\n", 2.0)) == 2.5
    broken = 'dynamo_frontend_requests_total{error_type="unavailable",model="a"}'
    before, after = f"{metric} 3\n{broken} 1\n", f"{metric} 5\n{broken} 3\n"
    assert rates.rejection_rate(interval(before, after)) == 2


def test_old_frontends_count_rejections_apart() -> None:
    metric = "dynamo_frontend_model_rejection_total"
    assert rates.rejection_rate(interval(f"{metric} 4\n", f"{metric} 24\n", 2.0)) == 10


@pytest.mark.parametrize(
    ("target", "late"),
    [(1000.0, 0.0), (480.0, 0.0), (0.0, 1.0), (0.0001, 1.0), (2.2, 3 / 4), (3.45, 1 / 2)],
)
def test_the_share_of_late_first_tokens_is_interpolated(target: float, late: float) -> None:
    """Among 12 first tokens, three came within 2.2 s, six from 2.2 to 4.7 s and three later."""

    def page(*counts: int) -> str:
        metric = "dynamo_frontend_time_to_first_token_seconds_bucket"
        return "".join(
            f'{metric}{{model="m",le="{bound}"}} {count}\n'
            for bound, count in zip(("1", "2.2", "4.7", "480", "+Inf"), counts, strict=True)
        )

    grown = interval(page(5, 5, 5, 5, 5), page(5, 8, 14, 17, 17))
    assert rates.late_share(grown, target) == pytest.approx(late, abs=1e-3)
    assert rates.late_share(interval(page(5, 5, 5, 5, 5), page(5, 5, 5, 5, 5)), 1.0) is None


def test_late_first_tokens_on_recorded_pages() -> None:
    done = interval("kv-disaggregated-running", "kv-disaggregated-done")
    share = rates.late_share(done, 1.0)
    assert share == pytest.approx(5 / 7)
    assert rates.late_share(done, 4.7) == 0


@pytest.mark.parametrize("router", ROUTERS)
def test_the_cached_share_is_what_engines_report(router: str) -> None:
    """Two of fifteen prompts were repeated: 1,408 of their 1,448 tokens were in the cache."""
    total = interval(f"{router}-listed", f"{router}-done")
    assert rates.cached_share(total, PREFILL) == pytest.approx(2816 / 20739)


def test_the_cached_share_by_the_routers_choice_where_no_engine_reports_it() -> None:
    def page(cached: int, tokens: int) -> str:
        return (
            "dynamo_component_router_kv_selected_cached_prefix_tokens_total"
            f'{{phase="prefill"}} {cached}\n'
            f'dynamo_component_router_input_sequence_tokens_sum{{phase="prefill"}} {tokens}\n'
            "dynamo_frontend_disconnected_clients 0\n"
        )

    assert rates.cached_share(interval(page(10, 100), page(30, 140)), PREFILL) == 0.5
    assert rates.cached_share(interval(page(10, 100), page(10, 100)), PREFILL) is None


def test_migrations_by_kind() -> None:
    """One of two workers was killed with five requests in progress, and later the other one."""
    moved = rates.migrations(interval("migrations-before", "migrations-after"))
    assert moved == {"new_request": 2, "ongoing_request": 5, "too_long": 4}


def test_series_that_begin_or_end_are_not_taken_for_a_restart() -> None:
    """The router of a removed worker generation ends, and its tokens with it."""

    def page(**tokens: int) -> str:
        metric = "dynamo_component_router_input_sequence_tokens_sum"
        series = (
            f'{metric}{{phase="prefill",router_id="{router}"}} {n}\n'
            for router, n in tokens.items()
        )
        return "".join(series) + "dynamo_frontend_disconnected_clients 0\n"

    _, both, new = intervals([[page(a=1000)], [page(a=1100, b=20)], [page(b=50)]], 1.0)
    assert both is not None
    assert new is not None
    assert rates.prompt_arrival_rate(both, PREFILL) == 120
    assert rates.prompt_arrival_rate(new, PREFILL) == 30


def test_a_frontend_that_has_started_within_the_interval_counts_in_full() -> None:
    def page(count: int, uptime: float) -> str:
        return f"{COUNTER} {count}\ndynamo_component_uptime_seconds {uptime}\n"

    first, second, third = intervals(
        [[page(10, 60)], [page(30, 70), page(50, 4)], [page(40, 80), page(90, 3)]]
    )
    assert first is None
    assert second is not None
    assert rates.arrival_rate(second) == (20 + 50) / 10
    assert third is not None
    # It restarted, and its counter is already above its last value.
    assert rates.arrival_rate(third) == (10 + 90) / 10


def test_there_is_no_rate_while_every_frontend_is_new() -> None:
    assert intervals([[f"{COUNTER} 5\n"], [f"{COUNTER} 9\n"]])[1] is not None
    assert intervals([[], [f"{COUNTER} 9\n"]]) == [None, None]


@given(
    st.lists(
        st.tuples(st.dictionaries(st.integers(0, 2), st.integers(0, 100)), st.booleans()),
        max_size=20,
    )
)
def test_rates_survive_restarts_and_are_never_negative(
    passes: list[tuple[dict[int, int], bool]],
) -> None:
    """A counter only grows, but a restarted frontend starts at zero."""
    totals, pages, growths = [0, 0, 0], [], []
    for growth, restart in passes:
        before = list(totals)
        if restart:
            totals[0] = 0
        for number, value in growth.items():
            totals[number] += value
        pages.append([f"{COUNTER} {total}\n" for total in totals])
        growths.append(sum(n - b if n >= b else n for n, b in zip(totals, before, strict=True)))
    for number, interval_ in enumerate(intervals(pages)):
        assert (interval_ is None) == (number == 0)
        if interval_ is not None:
            assert rates.arrival_rate(interval_) == pytest.approx(growths[number] / 10)
