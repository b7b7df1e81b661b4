"""The number of replicas of a scaled component, while generations are exchanged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from ecs_dynamo.model.graph import TAG_REPLICAS
from ecs_dynamo.planning.desired.generations.identity import generation_of
from tests.unit.chaos.explore import disable_logs
from tests.unit.chaos.generations import replicas_of, services_of
from tests.unit.chaos.setup import SCALING, Setup
from tests.unit.chaos.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A converged graph whose prefill follows a demand for its maximum."""
    disable_logs()
    result = World(Setup(prefill=1, decode=1, gpus=12, scaled=True))
    result.do("settle")
    result.do("demand", value=40.0)
    result.do("run", passes=12)
    assert replicas_of(result.ecs, "prefill") == SCALING.max
    yield result
    result.close()
    structlog.reset_defaults()


def recorded(world: World) -> list[str]:
    services = services_of(world.ecs, "prefill")
    return [s.tags[TAG_REPLICAS] for s in services if TAG_REPLICAS in s.tags]


def finish(world: World) -> None:
    """Run passes until the declared generation alone has replicas, and its number is kept."""
    name = f"g-prefill-{generation_of(world.ecs.graph)}"
    for _ in range(60):
        world.do("run", passes=1)
        total = sum(s.desired for s in services_of(world.ecs, "prefill"))
        assert total >= SCALING.max, "replicas were released without a reason"
        service = world.ecs.services.get(name)
        if service is not None and service.desired == total and recorded(world) == []:
            return
    raise AssertionError("the exchange does not end")


def test_the_number_is_recorded_in_an_exchange_only(world: World) -> None:
    world.do("edit_image", component="decode", how="good")
    world.do("run", passes=3)
    assert recorded(world) == [str(SCALING.max)]
    finish(world)
    assert replicas_of(world.ecs, "prefill") == SCALING.max


def test_a_revert_does_not_return_to_the_number_of_an_earlier_exchange(world: World) -> None:
    world.do("edit_image", component="decode", how="good")
    finish(world)
    world.do("demand", value=0.0)
    world.do("run", passes=60)
    assert replicas_of(world.ecs, "prefill") == SCALING.min
    world.do("demand", value=40.0)
    world.do("run", passes=12)
    world.do("revert", steps=1)
    finish(world)
    assert replicas_of(world.ecs, "prefill") == SCALING.max


def test_a_third_revision_halfway_keeps_the_number(world: World) -> None:
    world.do("edit_image", component="decode", how="good")
    world.do("run", passes=6)
    world.do("edit_image", component="decode", how="good")
    finish(world)
    assert replicas_of(world.ecs, "prefill") == SCALING.max
