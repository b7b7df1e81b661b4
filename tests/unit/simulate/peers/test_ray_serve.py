"""Ray Serve changes the count after its delays."""

from __future__ import annotations

from ecs_dynamo.simulate.peers.ray_serve import RayServe
from tests.unit.simulate.peers.views import BOUNDS, view


def test_delays_of_ray_serve() -> None:
    ray = RayServe(BOUNDS, 1.0)
    assert [ray.decide(view(t, 8, 2)) for t in (15, 30, 45)] == [2, 2, 8]
    counts = [ray.decide(view(t, 1, 8)) for t in range(60, 690, 15)]
    # Below the current count from 75 s on, as the mean of 30 s at 60 s is 4.5.
    assert counts.index(1) == 40
