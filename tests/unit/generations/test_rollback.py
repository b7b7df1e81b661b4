"""`ecs-dynamo rollback` of workers that have generations, over the simulated account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from ecs_dynamo.controller.reconcile.rollback import RolledBack, clear_rollback, roll_back
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_WITHDRAWN
from ecs_dynamo.planning.desired.generations.identity import generation_of
from tests.helpers.generations import running_generations
from tests.unit.chaos.explore import disable_logs
from tests.unit.chaos.generations import services_of
from tests.unit.chaos.setup import WORKERS
from tests.unit.chaos.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A graph that has converged, with one GPU per worker and as many again."""
    disable_logs()
    result = World()
    result.do("settle")
    yield result
    result.close()
    structlog.reset_defaults()


def rolled_back(world: World, name: str, number: int | None = None) -> RolledBack:
    return world.loop.run_until_complete(roll_back(world.daemon, name, number))


def cleared(world: World, name: str) -> None:
    world.loop.run_until_complete(clear_rollback(world.daemon, name))


def until(world: World, condition: Callable[[], bool], passes: int = 60) -> None:
    for _ in range(passes):
        if condition():
            return
        world.do("run", passes=1)
    raise AssertionError("the condition is not reached")


def tags_of(world: World, tag: str) -> set[str]:
    services = [s for name in WORKERS for s in services_of(world.ecs, name)]
    return {s.tags[tag] for s in services if tag in s.tags}


def test_a_worker_returns_to_the_previous_generation_with_all_others(world: World) -> None:
    first = generation_of(world.ecs.graph)
    world.do("edit_image", component="decode", how="good")
    second = generation_of(world.ecs.graph)
    until(world, lambda: running_generations(world.ecs) == {second})
    outcome = rolled_back(world, "prefill")
    assert outcome.error is None
    assert outcome.is_generation
    assert (outcome.before, outcome.after) == (second, first)
    assert any(line.startswith("decode: ") and "image" in line for line in outcome.changes)
    assert tags_of(world, TAG_WITHDRAWN) == {f"{second} RolledBack"}
    until(world, lambda: running_generations(world.ecs) == {first})
    world.do("run", passes=3)
    assert running_generations(world.ecs) == {first}

    with pytest.raises(EcsDynamoError, match="is withdrawn already"):
        rolled_back(world, "decode")
    cleared(world, "decode")
    assert tags_of(world, TAG_WITHDRAWN) == set()
    until(world, lambda: running_generations(world.ecs) == {second})


def test_another_declaration_ends_the_rollback(world: World) -> None:
    first = generation_of(world.ecs.graph)
    world.do("edit_image", component="decode", how="good")
    until(world, lambda: running_generations(world.ecs) == {generation_of(world.ecs.graph)})
    rolled_back(world, "decode")
    until(world, lambda: running_generations(world.ecs) == {first})
    world.do("edit_image", component="decode", how="good")
    until(world, lambda: running_generations(world.ecs) == {generation_of(world.ecs.graph)})


def test_an_exchange_that_is_in_progress_turns_back(world: World) -> None:
    first = generation_of(world.ecs.graph)
    serving = {t.arn for name in WORKERS for s in services_of(world.ecs, name) for t in s.tasks}
    world.do("edit_image", component="decode", how="good")
    until(world, lambda: len(running_generations(world.ecs)) == 2)
    assert rolled_back(world, "decode").after == first
    until(world, lambda: running_generations(world.ecs) == {first})
    assert serving == {
        t.arn for name in WORKERS for s in services_of(world.ecs, name) for t in s.tasks
    }


def test_a_change_within_the_generation_is_rolled_back_there(world: World) -> None:
    generation = generation_of(world.ecs.graph)
    world.do("edit_in_place", component="decode")
    world.do("run", passes=12)
    outcome = rolled_back(world, "decode")
    assert (outcome.before, outcome.after) == ("g-decode:2", "g-decode:1")
    assert not outcome.is_generation
    assert tags_of(world, TAG_WITHDRAWN) == set()
    (service,) = services_of(world.ecs, "decode")
    assert TAG_ROLLED_BACK in service.tags
    content = world.ecs.content_of(service.name)
    assert "dockerLabels" not in content["containerDefinitions"][0]
    assert running_generations(world.ecs) == {generation}
    cleared(world, "decode")
    assert TAG_ROLLED_BACK not in service.tags


def test_a_numbered_revision_must_belong_to_the_generation(world: World) -> None:
    world.do("edit_image", component="decode", how="good")
    until(world, lambda: running_generations(world.ecs) == {generation_of(world.ecs.graph)})
    with pytest.raises(EcsDynamoError, match="belongs to another generation"):
        rolled_back(world, "decode", 1)


@pytest.mark.parametrize("name", WORKERS)
def test_a_graph_with_a_single_generation_says_that_there_is_none_before(
    world: World, name: str
) -> None:
    with pytest.raises(EcsDynamoError, match=r"no previous generation.*declare the content"):
        rolled_back(world, name)


def test_a_frontend_is_rolled_back_alone(world: World) -> None:
    world.do("edit_image", component="frontend", how="good")
    world.do("run", passes=12)
    outcome: Any = rolled_back(world, "frontend")
    assert (outcome.before, outcome.after) == ("g-frontend:2", "g-frontend:1")
    assert tags_of(world, TAG_WITHDRAWN) == set()
