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


def test_a_revision_that_was_registered_again_is_known_to_later_processes() -> None:
    """Generations share a family, and yet its newest revision must be read where it matters."""
    world = World()
    try:
        world.do("settle")
        service = next(s for s in world.ecs.services.values() if s.component == "decode")
        world.ecs.deregister(service.revision)
        for _ in range(2):
            world.restart()
            world.do("run", passes=1)
        assert not world.api.writes
        assert [r.active for r in world.ecs.revisions.values() if r.family == "g-decode"] == [
            False,
            True,
        ]
    finally:
        world.close()
