"""Sums over requests: gaps, retries, and when something counts as so for good."""

from __future__ import annotations

import pytest

from benchmarks.chaos.account import Account, Outcome, Settling, account, good_since, longest_gap


def served(sent: float, ended: float, attempts: int = 1) -> Outcome:
    return Outcome(sent, ended, streamed=False, attempts=attempts)


def lost(sent: float, ended: float, error: str = "HTTP 503") -> Outcome:
    return Outcome(sent, ended, streamed=True, error=error)


@pytest.mark.parametrize(
    ("moments", "gap"),
    [
        ([], 10.0),
        ([5.0], 5.0),
        ([3.0, 1.0, 2.0], 7.0),  # The end of the load bounds it too.
        ([9.0, 9.5], 9.0),  # And so does its beginning.
        ([-1.0, 4.0, 11.0], 6.0),  # What ended outside says nothing.
        ([2.0, 4.0, 8.0], 4.0),
    ],
)
def test_the_longest_gap_is_between_successes_or_the_ends(moments: list[float], gap: float) -> None:
    assert longest_gap(moments, 0.0, 10.0) == pytest.approx(gap)


def test_an_account_counts_and_a_failure_ends_no_gap() -> None:
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


def test_an_account_of_nothing_is_one_gap() -> None:
    assert account([], 1.0, 4.0) == Account(0, 0, 0, 0, gap=3.0, slowest=0.0)


def test_good_needs_so_many_served_that_were_sent_since() -> None:
    ten = [served(float(n), n + 0.5) for n in range(10)]
    assert good_since(ten, 0.0, 10)
    assert not good_since(ten, 0.5, 10)  # The first was sent before.
    assert good_since(ten, 0.5, 9)
    assert not good_since(ten, 0.0, 11)  # There are not so many.
    # A failure counts by when it ended, not by when it was sent.
    assert not good_since([lost(2.0, 9.0), *ten], 0.0, 10)
    assert good_since([lost(0.0, 0.4), *ten], 0.0, 10)


def test_settled_is_what_held_for_long_enough_and_since_it_began_to() -> None:
    settling = Settling(3.0)
    clock = [(1.0, False), (2.0, True), (4.0, True), (4.5, False), (5.0, True), (7.9, True)]
    assert [settling.tell(now, holds) for now, holds in clock] == [None] * 6
    assert settling.tell(8.0, True) == 5.0
    assert settling.tell(9.0, True) == 5.0
    assert settling.tell(9.1, False) is None
    assert settling.tell(9.2, True) is None
