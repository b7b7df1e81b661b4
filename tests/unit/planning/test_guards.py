"""Guards that no other test would miss: found by taking each away and seeing the suite pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.ecs.task_definition import surplus
from ecs_dynamo.model.plan import (
    DeleteService,
    ProtectTasks,
    SetInstancesState,
    UpdateService,
    is_hold,
)
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Revision,
    Task,
)
from ecs_dynamo.planning import down, plan
from ecs_dynamo.planning.desired.component import (
    ComponentState,
    existing_revision,
)
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.observed.lookup import known_tasks
from ecs_dynamo.planning.rollout.draining_instances import drain_noticed_instances
from ecs_dynamo.planning.rollout.handover.moves import old_side_actions
from ecs_dynamo.planning.rollout.protection import protect_busy_tasks
from tests.helpers.convergence import converged, run_pass
from tests.helpers.facts import context_of, ready_tasks, state_of, with_component
from tests.helpers.graphs import (
    graph,
    with_image,
)


@pytest.mark.parametrize("tags", [{}, {"ecs-dynamo:graph": "somebody-elses"}])
def test_what_lacks_the_graphs_tag_is_not_an_orphan_of_it(tags: Mapping[str, str]) -> None:
    declared = graph()
    ecs, memory = converged(declared)
    ecs.graph = replace(
        declared, components=tuple(c for c in declared.components if c.name != "prefill")
    )
    observation = ecs.snapshot()
    assert isinstance(observation.orphans, tuple)
    foreign = replace(
        observation, orphans=tuple(replace(o, tags=tags) for o in observation.orphans)
    )
    for result in (plan(ecs.graph, foreign, memory, ecs.clock), down(ecs.graph, foreign)):
        deleted = {a.service for a in result.actions if isinstance(a, DeleteService)}
        assert "g-prefill" not in deleted
    assert [type(a) for a in plan(ecs.graph, observation, memory, ecs.clock).actions] == [
        DeleteService
    ]


def test_a_revision_in_use_or_good_outlives_the_number_that_is_kept() -> None:
    arns = [f"arn:f:{n}" for n in (10, 9, 2, 1)]
    assert surplus(arns, 2, {"arn:f:1"}) == ("arn:f:2",)
    assert surplus(arns, 2, ()) == ("arn:f:1", "arn:f:2")
    assert surplus(arns, 4, ()) == ()


def test_who_becomes_idle_in_a_scale_in_is_released_at_once() -> None:
    declared = graph(prefill=2)
    ecs, _ = converged(declared)
    for task in ecs.services["g-prefill"].tasks:
        task.protected_until = ecs.now + 600
    busy = ecs.services["g-prefill"].tasks[0].arn
    ecs.busy = {busy}
    observation = ecs.snapshot()
    part = observation.components["prefill"]
    assert isinstance(part.service, Service)
    # Asked to be one, and two still run.
    part = replace(part, service=replace(part.service, desired=1, running=2))
    observed = observe_graph(declared, with_component(observation, "prefill", part))
    component = state_of(declared.component("prefill"), observed.components["prefill"])
    (freed,) = protect_busy_tasks(context_of(observed, component), component)
    assert (freed.minutes, len(freed.tasks), busy in freed.tasks) == (None, 1, False)


def test_endpoints_that_move_blame_no_revision() -> None:
    """Going back would mean going back to endpoints that are gone."""
    declared = graph()
    ecs, memory = converged(declared)
    ecs.mute_images.add("dynamo:1")  # Whatever starts from here on never registers.
    ecs.kill("etcd-nats")
    deadline = declared.component("decode").rollout.progress_deadline_seconds
    began = ecs.now
    while ecs.now < began + 3 * deadline:
        result = run_pass(ecs, declared, memory, seconds=30.0)
        memory = result.memory
        assert not [a for a in result.actions if is_hold(a)]
    assert not result.converged


def moving(old: list[Task], began: float) -> tuple[ComponentState, PlanContext]:
    """prefill is rolled to other endpoints since ``began``, and ``old`` are its old tasks."""
    declared = graph()
    ecs, _ = converged(declared)
    observation = ecs.snapshot()
    part = observation.components["prefill"]
    assert isinstance(part.service, Service)
    assert isinstance(part.tasks, tuple)
    (own,) = part.tasks
    (deployment,) = part.service.deployments
    newer = f"{part.service.task_definition_arn}0"
    tasks = tuple(replace(t, task_definition_arn=own.task_definition_arn) for t in old)
    service = replace(
        part.service,
        task_definition_arn=newer,
        deployments=(
            replace(
                deployment, task_definition_arn=newer, created_at=observation.observed_at + began
            ),
        ),
    )
    part = replace(part, service=service, tasks=tasks)
    observed = observe_graph(declared, with_component(observation, "prefill", part))
    component = state_of(declared.component("prefill"), observed.components["prefill"])
    return component, context_of(observed, component)


def prefill_task() -> tuple[Task, float]:
    """prefill's only task on a converged graph, and the time there."""
    ecs, _ = converged(graph())
    observation = ecs.snapshot()
    tasks = observation.components["prefill"].tasks
    assert isinstance(tasks, tuple)
    return tasks[0], observation.observed_at


@pytest.mark.parametrize("serving_is_newer", [True, False])
def test_after_two_moves_in_a_row_what_no_longer_serves_makes_room(serving_is_newer: bool) -> None:
    """Two protected old sides fill ECS's upper limit: without this nothing new would ever start."""
    serving, now = prefill_task()
    until = now + 7200.0
    serving = replace(
        serving, protected_until=until, started_at=now - (10 if serving_is_newer else 500)
    )
    lost = replace(serving, arn="arn:lost", private_ip="10.9.9.9", started_at=now - 100)
    item, context = moving([serving, lost], began=-5.0)
    (result,) = old_side_actions(context, [item], is_over=False)
    assert (result.tasks, result.minutes) == (("arn:lost",), None)


@pytest.mark.parametrize("began", [-100.0, -100_000.0])
def test_an_old_side_is_kept_no_longer_than_the_progress_deadline(began: float) -> None:
    task, now = prefill_task()
    ending = replace(task, protected_until=now + 60.0)
    item, context = moving([ending], began)
    result = old_side_actions(context, [item], is_over=False)
    # 1,800 s of progress and 60 s of drain, less the 100 s that are over.
    assert [a.minutes for a in result] == ([30] if began == -100.0 else [])


def test_what_is_no_longer_declared_waits_for_what_still_rolls() -> None:
    declared = graph()
    ecs, memory = converged(declared)
    less = replace(
        declared, components=tuple(c for c in declared.components if c.name != "prefill")
    )
    ecs.graph = less = with_image(less, "decode", "dynamo:2")
    result = run_pass(ecs, less, memory)
    assert not [a for a in result.actions if isinstance(a, DeleteService)]
    assert "g-prefill" in ecs.services


def test_dependants_do_not_roll_while_the_infrastructure_does() -> None:
    """They would roll once more when its endpoints have moved."""
    declared = graph()
    ecs, memory = converged(declared)
    for name in ("etcd-nats", "decode"):
        declared = with_image(declared, name, "image:2")
    ecs.graph = declared
    result = run_pass(ecs, declared, memory)
    rolled = {a.component for a in result.actions if isinstance(a, UpdateService) and a.revision}
    assert rolled == {"etcd-nats"}


def test_workers_of_another_namespace_are_not_ours() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    observation = ecs.snapshot()
    assert isinstance(observation.registrations, tuple)
    decode = declared.component("decode")
    assert len(ready_tasks(declared, decode, observation)) == 1
    theirs = tuple(replace(r, namespace="another") for r in observation.registrations)
    assert ready_tasks(declared, decode, replace(observation, registrations=theirs)) == ()


def test_a_revision_that_was_deregistered_is_registered_anew() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    part = ecs.snapshot().components["decode"]
    assert isinstance(part.revision, Revision)
    assert part.revision.fingerprint is not None
    for active in (True, False):
        known = replace(part.revision, active=active)
        observation = replace(part, revision=known, revisions={known.arn: known})
        component = state_of(
            declared.component("decode"), observation, fingerprint=known.fingerprint
        )
        reference = existing_revision(component)
        assert reference is not None
        assert (reference.arn == known.arn) == active


def test_an_instance_is_put_to_draining_once_with_its_tasks_protected_before() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    observation = ecs.snapshot()
    instances = observation.container_instances["gpu"]
    assert isinstance(instances, tuple)
    used = {t.container_instance_arn for t in known_tasks(observation.components["decode"])}
    (mine,) = (i for i in instances if i.arn in used)
    component = state_of(declared.component("decode"), observation.components["decode"])
    for status, kinds in (("ACTIVE", [ProtectTasks, SetInstancesState]), ("DRAINING", [])):
        noticed = replace(
            observation,
            container_instances={"gpu": (replace(mine, status=status),)},
            notices={mine.ec2_instance_id: Notice(observation.observed_at, interruption=True)},
        )
        context = context_of(observe_graph(declared, noticed), component)
        result = drain_noticed_instances(context, PlanBuilder())
        assert [type(a) for a in result.actions] == kinds
