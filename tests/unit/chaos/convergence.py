"""The end of a run: faults stop, and the graph must become as declared and stay so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecs_dynamo.model.generations import GenerationMode
from ecs_dynamo.model.graph import TAG_GENERATION
from ecs_dynamo.model.service import good_arn
from tests.helpers.generations import effective_graph
from tests.unit.chaos.generations import replicas_of, services_of, tasks_of
from tests.unit.chaos.setup import SCALING, WORKERS

if TYPE_CHECKING:
    from tests.unit.chaos.world import World

CONVERGE_PASSES = 150
SICK_PASSES = 450
"""Like CONVERGE_PASSES, while a worker hangs or is lost. A new process recognizes it only after
twice its progress deadline, and the pauses between replacements grow."""
SETTLED_INSTANCES = 8
"""Instances for the frontends of two sides, one on each instance."""


def settle(world: World) -> None:
    """End all faults, add instances, and let the daemon converge."""
    world.api.faults = []
    world.network.failing, world.network.silent = {}, set()
    world.ecs.busy = set()
    world.ecs.slow = 0
    for component in sorted(world.bad):
        world.edit_image(component, "good")
    needed = sum(c.replicas for c in world.ecs.graph.components) * 2 + 6
    while world.ecs.free_instances() < needed or _remaining_instances(world) < SETTLED_INSTANCES:
        world.ecs.gpu_instances += 1
    world.network.demand = 0.0
    for number in world.interruptions:
        world.ecs.lose_instance(number)
    world.interruptions = {}
    _converge(world)
    for process in (world.daemon, world.new_process()):
        world.daemon = process
        world.api.begin()
        outcome = world.run_pass()
        assert outcome is not None
        assert outcome.converged, (
            f"not converged any more: {outcome.plan.actions} {outcome.plan.waits}"
        )
        assert not world.api.writes, f"converged, and yet {world.api.writes} (invariant 1)"
        world.tick()
    _check_declared(world)
    world.only_edits = world.ecs.served()


def _converge(world: World) -> None:
    """Run passes until nothing is left to do, including scale-ins after their window."""
    problems: list[str] = []
    sick_at = 0
    for number in range(SICK_PASSES):
        _end_incurable(world)
        if _sick(world):
            sick_at = number
        if number - sick_at >= CONVERGE_PASSES:
            break
        world.api.begin()
        outcome = world.run_pass()
        assert outcome is not None
        world.tick()
        if outcome.converged and not _scales(world) and not _sick(world):
            return
        problems = [f"{w.component}: {w.reason}" for w in outcome.plan.waits]
        problems += [f"{r.action}: {r.error}" for r in outcome.results]
        problems += [f"{arn} hangs or is lost" for arn in _sick(world)]
    raise AssertionError(f"it does not converge: {problems} (invariant 1)")


def _remaining_instances(world: World) -> int:
    return len(set(range(world.ecs.gpu_instances)) - world.ecs.lost - world.ecs.drained)


def _sick(world: World) -> list[str]:
    """Return the workers that hang or have lost their registration."""
    known = {*world.ecs.hung, *world.ecs.forgotten}
    return [t.arn for s in world.ecs.services.values() for t in s.tasks if t.arn in known]


def _end_incurable(world: World) -> None:
    """End sick workers that the daemon leaves to operators.

    It replaces no task of a service without a good revision, and if workers share an instance, it
    cannot know which one is sick.
    """
    for component in WORKERS:
        tasks, sick = tasks_of(world.ecs, component), _sick(world)
        for index, (service, task) in reversed(list(enumerate(tasks))):
            described = world.ecs.described(service.name)
            first = described is not None and good_arn(described) is None
            if task.arn in sick and (first or world.ecs.alike(service, task)):
                world.kill(component, index)


def _scales(world: World) -> bool:
    """Return whether prefill has yet to scale in to its minimum, as there is no demand."""
    return world.setup.scaled and replicas_of(world.ecs, "prefill") > SCALING.min


def _check_declared(world: World) -> None:
    """Check that the account's services are as declared.

    Of each worker, one more generation may exist without replicas: the rollback target.
    """
    ecs = world.ecs
    generations = effective_graph(ecs, ecs.graph).generations
    assert generations.mode in (GenerationMode.PLAIN, GenerationMode.IN_FORCE)
    assert sum(len(services_of(ecs, c.name)) for c in ecs.graph.components) == sum(
        ecs.ours(s) for s in ecs.services.values()
    )
    for component in ecs.graph.components:
        dormant = [s for s in services_of(ecs, component.name) if s.desired == 0]
        (service,) = (s for s in services_of(ecs, component.name) if s.desired > 0)
        expected = generations.target if component.is_worker else None
        assert service.tags.get(TAG_GENERATION) == expected
        assert not [s.name for s in dormant if s.tasks or not component.is_worker]
        assert len(dormant) <= 1, [s.name for s in dormant]
        if component.scaling is None:
            assert service.desired == component.replicas, f"{service.name}: {service.desired}"
        assert len(service.tasks) == service.desired
        assert {t.revision for t in service.tasks} <= {service.revision}
        content = ecs.content_of(service.name)
        image = component.template["containerDefinitions"][0]["image"]
        assert content["containerDefinitions"][0]["image"] == image
        assert (service.minimum, service.maximum) == (
            component.limits.minimum_healthy_percent,
            component.limits.maximum_percent,
        )
    workers = sum(c.replicas for c in ecs.graph.components if c.is_worker)
    assert ecs.served() == (workers > 0 and ecs.graph.component("frontend").replicas > 0)
