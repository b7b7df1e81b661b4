"""AIBrix's autoscalers: tolerances, rates and the window of decreases."""

from __future__ import annotations

import pytest

from ecs_dynamo.simulate.peers.aibrix import AibrixApa, AibrixKpa
from tests.unit.simulate.peers.views import BOUNDS, follow, view


@pytest.mark.parametrize(("queue", "count"), [(4, 4), (5, 5), (20, 8), (1, 2), (0, 2), (3, 3)])
def test_apa_acts_outside_its_tolerance_within_its_rates(queue: int, count: int) -> None:
    assert AibrixApa(BOUNDS, 1.0).decide(view(15, queue, 4)) == count


def test_apa_keeps_the_largest_recommendation_of_five_minutes() -> None:
    counts = follow(AibrixApa(BOUNDS, 1.0, window=15.0), [8] + [1] * 40, 4)
    # It recommends 4 of 8 at once; the first recommendation of 8 counts for 300 s.
    assert counts.index(4) == 21


def test_kpa_follows_the_short_window_in_a_panic() -> None:
    kpa = AibrixKpa(BOUNDS, 1.0)
    counts = follow(kpa, [2] * 12 + [16] * 4, 2)
    # The mean of 60 s is more than twice that of 180 s with the second large value: 9 and 4.3.
    assert counts[:12] == [2] * 12
    assert counts[12:] == [4, 8, 13, 16]


def test_kpa_is_stable_within_its_tolerance() -> None:
    assert AibrixKpa(BOUNDS, 1.0).decide(view(15, 11, 10)) == 10
