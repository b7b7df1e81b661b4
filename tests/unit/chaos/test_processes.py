"""The assumptions of a process that has just started, and therefore has no memory."""

from __future__ import annotations

import pytest

from ecs_dynamo.model.plan import is_hold
from tests.unit.chaos.world import World


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_the_first_pass_uses_the_time_of_aws(wrong: float) -> None:
    """On a machine whose clock is an hour ahead, a rollout must not miss its deadline."""
    world = World()
    try:
        world.do("settle")
        world.do("edit_image", component="decode", how="good")
        world.do("run", passes=1)
        world.do("jump", seconds=wrong)
        world.restart()
        world.api.begin()
        outcome = world.run_pass()
        assert outcome is not None
        assert abs(outcome.now.wall - world.server_time()) < 2.0
        assert outcome.snapshot.observed_at == outcome.now.wall
        assert not [a for a in outcome.plan.actions if is_hold(a)]
    finally:
        world.close()
