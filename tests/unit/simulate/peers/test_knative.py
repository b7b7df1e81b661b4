"""Knative's pod autoscaler: stable and panic windows, rates per evaluation, scale-down delay."""

from __future__ import annotations

from ecs_dynamo.simulate.peers.knative import KPA_OPTIONS, KnativeKpa
from tests.unit.simulate.peers.views import BOUNDS, follow, view


def test_a_panic_follows_the_last_seconds_and_never_scales_down() -> None:
    kpa = KnativeKpa(BOUNDS, 1.0)
    assert kpa.decide(view(15, 6, 1)) == 9  # 6 / 0.7, which is at least twice one replica.
    assert kpa.decide(view(30, 0, 9)) == 9
    assert kpa.decide(view(75, 0, 9)) == 9
    assert kpa.decide(view(90, 0, 9)) == 1


def test_it_starts_in_a_panic_with_several_replicas() -> None:
    assert follow(KnativeKpa(BOUNDS, 1.0), [0] * 6, 4) == [4, 4, 4, 4, 4, 1]


def test_each_evaluation_halves_at_most() -> None:
    kpa = KnativeKpa(BOUNDS, 1.0)
    kpa.decide(view(2, 0, 1, tick=2.0))
    assert kpa.decide(view(4, 0, 9, tick=2.0)) == 4
    assert kpa.decide(view(19, 0, 9, tick=15.0)) == 1  # Seven evaluations per tick.


def test_the_stable_window_averages() -> None:
    kpa = KnativeKpa(BOUNDS, 1.0)
    assert follow(kpa, [7, 7, 7, 7, 0, 0, 0, 0], 10, start=1000.0)[:1] == [10]
    # The panic of the start ends after more than a stable window.
    assert follow(KnativeKpa(BOUNDS, 1.0), [7] * 6, 10)[-1] == 10


def test_the_scale_down_delay_keeps_the_largest_count() -> None:
    make = KPA_OPTIONS["stable=60 panic=10% delay=300"]
    counts = follow(make(BOUNDS, 1.0), [6] + [0] * 30, 1)
    assert counts[0] == 9
    # The panic lasts until 75 s, and its count for 300 s more.
    assert counts.index(1) == 25


def test_a_wider_panic_window_averages_as_well() -> None:
    make = KPA_OPTIONS["stable=60 panic=50% delay=300"]
    assert follow(make(BOUNDS, 1.0), [0, 6], 1) == [1, 5]  # The mean of 30 s, in a panic.
