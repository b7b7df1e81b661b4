"""The HPA rises within its limit per period and falls to the largest recommendation."""

from __future__ import annotations

from ecs_dynamo.simulate.peers.kubernetes import KedaHpa
from tests.unit.simulate.peers.views import BOUNDS, view


def test_hpa_on_a_queue() -> None:
    hpa = KedaHpa(BOUNDS, 2.0)
    assert hpa.decide(view(15, 20, 4)) == 8  # At most doubled, or four more.
    assert hpa.decide(view(30, 8, 4)) == 4
    assert hpa.decide(view(45, 0, 8)) == 8  # The largest recommendation of five minutes.
    assert hpa.decide(view(400, 0, 8)) == 1


def test_hpa_tolerates_a_tenth() -> None:
    assert KedaHpa(BOUNDS, 4.0).decide(view(15, 21, 5)) == 5
    assert KedaHpa(BOUNDS, 4.0).decide(view(15, 23, 5)) == 6
