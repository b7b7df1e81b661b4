"""Erlang C against its closed form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.planning.scaling.erlang_c import (
    fractional_servers,
    servers_needed,
)


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
