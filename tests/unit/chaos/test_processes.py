"""The assumptions of a process that has just started and knows nothing."""

from __future__ import annotations

import pytest

from ecs_dynamo.model.plan import is_hold
from tests.unit.chaos.world import World


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_the_first_pass_is_judged_by_the_time_of_aws(wrong: float) -> None:
    """With a clock that is an hour ahead, no rollout must seem to have missed its deadline."""
    world = World()
    try:
        world.do("settle")
        world.do("edit_image", component="decode", how="good")
        world.do("run", passes=1)
        world.do("jump", seconds=wrong)
        world._started()
        world.api.begin()
        done = world._pass()
        assert done is not None
        assert abs(done.now.wall - world.server_time()) < 2.0
        assert done.snapshot.observed_at == done.now.wall
        assert not [a for a in done.plan.actions if is_hold(a)]
    finally:
        world.close()
