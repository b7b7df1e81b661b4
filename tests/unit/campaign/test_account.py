"""Statistics over requests: gaps, retries, and the moment since which a condition is stable."""

from __future__ import annotations

import pytest

from benchmarks.chaos.account import (
    Account,
    Outcome,
    StableSince,
    account,
    longest_gap,
    served_since,
)


def served(sent: float, ended: float, attempts: int = 1) -> Outcome:
    return Outcome(sent, ended, streamed=False, attempts=attempts)


def lost(sent: float, ended: float, error: str = "HTTP 503") -> Outcome:
    return Outcome(sent, ended, streamed=True, error=error)


@pytest.mark.parametrize(
    ("moments", "gap"),
    [
        ([], 10.0),
        ([5.0], 5.0),
        ([3.0, 1.0, 2.0], 7.0),  # The end of the load counts too.
        ([9.0, 9.5], 9.0),  # The beginning of the load counts too.
        ([-1.0, 4.0, 11.0], 6.0),  # Requests that ended outside the load do not count.
        ([2.0, 4.0, 8.0], 4.0),
    ],
)
def test_the_longest_gap_is_between_successes_or_the_ends(moments: list[float], gap: float) -> None:
    assert longest_gap(moments, 0.0, 10.0) == pytest.approx(gap)


def test_an_account_counts_requests_and_a_failure_does_not_end_a_gap() -> None:
    outcomes = [
        served(0.0, 1.0),
        lost(1.0, 4.0),
        served(2.0, 6.0, attempts=2),
        lost(3.0, 7.0, "broken off"),
        lost(4.0, 7.5),
        served(8.0, 8.5),
    ]
    assert account(outcomes, 0.0, 9.0) == Account(
        sent=6,
        failed=3,
        retried=1,
        streamed=3,
        gap=5.0,
        slowest=4.0,
        errors=(("HTTP 503", 2), ("broken off", 1)),
    )


def test_an_account_without_requests_is_one_gap() -> None:
    assert account([], 1.0, 4.0) == Account(0, 0, 0, 0, gap=3.0, slowest=0.0)


def test_served_since_needs_enough_served_requests_that_were_sent_later() -> None:
    ten = [served(float(n), n + 0.5) for n in range(10)]
    assert served_since(ten, 0.0, 10)
    assert not served_since(ten, 0.5, 10)  # The first was sent before.
    assert served_since(ten, 0.5, 9)
    assert not served_since(ten, 0.0, 11)  # There are only ten.
    # The end of a failed request counts, not the time at which it was sent.
    assert not served_since([lost(2.0, 9.0), *ten], 0.0, 10)
    assert served_since([lost(0.0, 0.4), *ten], 0.0, 10)


def test_a_condition_is_stable_once_it_has_held_for_long_enough() -> None:
    stable = StableSince(3.0)
    clock = [(1.0, False), (2.0, True), (4.0, True), (4.5, False), (5.0, True), (7.9, True)]
    assert [stable.update(now, holds=holds) for now, holds in clock] == [None] * 6
    assert stable.update(8.0, holds=True) == 5.0
    assert stable.update(9.0, holds=True) == 5.0
    assert stable.update(9.1, holds=False) is None
    assert stable.update(9.2, holds=True) is None
