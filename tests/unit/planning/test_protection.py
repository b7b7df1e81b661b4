"""Protection of old tasks: given once for the rollout's deadline, and who drains since when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.graph import TAG_DRAINING, Graph
from ecs_dynamo.model.plan import Memory, ProtectTasks, TagService, UpdateService
from ecs_dynamo.model.service import Service
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.rollout.handover.drain_record import (
    MAX_VALUE_LENGTH,
    drain_record,
    draining_since,
    keep_minutes,
)
from tests.helpers.convergence import converged
from tests.helpers.facts import state_of
from tests.helpers.graphs import (
    graph,
    with_image,
    with_rollout,
)
from tests.helpers.rollouts import fresh_pass, ready_graph
from tests.helpers.simulated_ecs import SimulatedEcs

NOW = 1_800_000_000.0


def rolling(count: int, *, tag: str = "", begun: float = NOW - 100) -> ComponentState:
    """decode, whose ``count`` tasks are the old side of a rollout that began at ``begun``."""
    ecs, _ = converged(graph())
    part = ecs.snapshot().components["decode"]
    assert isinstance(part.service, Service)
    assert isinstance(part.tasks, tuple)
    (deployment,) = part.service.deployments
    newer = replace(deployment, id="d-new", task_definition_arn="arn:new:9", created_at=begun)
    tags = {**part.service.tags, TAG_DRAINING: tag}
    service = replace(
        part.service, task_definition_arn="arn:new:9", deployments=(newer,), tags=tags
    )
    tasks = tuple(replace(part.tasks[0], arn=f"arn:task/{n:032x}") for n in range(count))
    part = replace(part, service=service, tasks=tasks)
    return state_of(graph().component("decode"), part)


@given(
    count=st.integers(0, 80),
    steps=st.lists(st.integers(0, 50), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_the_record_of_who_drains_is_bounded_and_read_back(count: int, steps: list[int]) -> None:
    known: dict[str, float] = {}
    item, now = rolling(count), int(NOW)
    for step in steps:
        now += 17
        more = [t for t in item.old_tasks if t.arn not in known][:step]
        mark, recorded = drain_record(item, known, more, now)
        assert (mark is None) == (recorded == known.keys())
        known = {arn: known.get(arn, float(now)) for arn in recorded}
        if mark is not None:
            assert len(mark.set_tags[TAG_DRAINING]) <= MAX_VALUE_LENGTH
            item = rolling(count, tag=mark.set_tags[TAG_DRAINING])
        assert draining_since(item) == known
    if count and steps and steps[0]:
        assert known


@pytest.mark.parametrize("tag", ["@", "@- 000001", "000001", "@zzzzzzzzzzzz 000001", "@é 000001"])
def test_a_record_that_cannot_be_read_tells_nothing(tag: str) -> None:
    assert draining_since(rolling(3, tag=tag)) == {}


def test_what_was_recorded_for_an_earlier_rollout_counts_no_longer() -> None:
    item = rolling(2)
    mark, _ = drain_record(item, {}, item.old_tasks, NOW)
    assert mark is not None
    assert len(draining_since(rolling(2, tag=mark.set_tags[TAG_DRAINING], begun=NOW))) == 2
    assert draining_since(rolling(2, tag=mark.set_tags[TAG_DRAINING], begun=NOW + 1)) == {}


@pytest.mark.parametrize(
    ("deadline", "drain", "minutes"),
    [(1800, 60, 32), (20, 5, 1), (600, 7200, 131), (10 * 86400, 60, 2880)],
)
def test_a_protection_lasts_for_the_deadline_of_the_rollout(
    deadline: float, drain: float, minutes: int
) -> None:
    base = graph()
    base = replace(base, runtime=base.runtime.model_copy(update={"drain_seconds": drain}))
    decode = with_rollout(base.component("decode"), progress_deadline_seconds=deadline)
    assert keep_minutes(base, decode) == minutes


def protections(declared: Graph, ecs: SimulatedEcs, passes: int) -> list[ProtectTasks]:
    """Return the protections of decode in passes of new daemons."""
    result = [a for _ in range(passes) for a in fresh_pass(ecs, declared).actions]
    return [a for a in result if isinstance(a, ProtectTasks) and a.minutes is not None]


def test_a_model_that_loads_for_long_costs_one_protection() -> None:
    """A quarter of an hour used to be given, and renewed again and again."""
    declared, ecs = ready_graph(2, 8)
    slow = replace(
        declared,
        components=tuple(
            with_rollout(c, progress_deadline_seconds=3000) for c in declared.components
        ),
    )
    ecs.slow = 250  # 2,500 s until the new replicas register.
    ecs.graph = edited = with_image(slow, "decode", "dynamo:2")
    (given_once,) = protections(edited, ecs, passes=240)
    assert given_once.minutes == 52
    assert len(ecs.serving("decode")) >= 2


def test_a_daemon_that_does_not_come_back_holds_nothing_up_beyond_the_deadline() -> None:
    declared, ecs = ready_graph(2, 8)
    ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    began = ecs.now
    fresh_pass(ecs, edited)
    until = {t.protected_until for t in ecs.services["g-decode"].tasks if t.protected_until}
    assert until
    # 300 s of progress, one lease of 30 s and 60 s of drain, in whole minutes.
    assert max(until) <= began + 420 + 10


def test_who_drains_is_known_to_a_fresh_daemon_by_the_tag_not_by_the_expiry() -> None:
    declared, ecs = ready_graph(2, 8)
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    old = list(service.tasks)
    ecs.busy = {t.arn for t in old}
    marks: list[float] = []
    for _ in range(60):
        result = fresh_pass(ecs, edited)
        marks += [
            ecs.now
            for a in result.actions
            if isinstance(a, TagService) and TAG_DRAINING in a.set_tags
        ]
        # However long the protection is, the drain time ends it.
        for task in old:
            if task.protected_until > ecs.now:
                task.protected_until = ecs.now + 1500
        if result.converged:
            break
    assert result.converged
    assert 1 <= len(marks) <= 2
    assert ecs.now - marks[0] < 60 + 120


def test_a_task_that_is_needed_again_gets_its_whole_drain_time_later() -> None:
    declared, ecs = ready_graph(1, 4)
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    (old,) = service.tasks
    ecs.busy = {old.arn}
    for _ in range(30):
        result = fresh_pass(ecs, edited)
        if any(isinstance(a, TagService) and TAG_DRAINING in a.set_tags for a in result.actions):
            break
    (new,) = (t for t in service.tasks if t is not old)
    new.mute = True
    forgotten = fresh_pass(ecs, edited)
    marks = [a for a in forgotten.actions if isinstance(a, TagService)]
    assert [a.set_tags for a in marks] == [{TAG_DRAINING: ""}]
    assert old in service.tasks


def test_a_count_that_falls_during_a_rollout_asks_for_no_protection_that_ecs_refuses() -> None:
    """ECS answers DEPLOYMENT_BLOCKED where more tasks are protected than are desired."""
    declared, ecs = ready_graph(4, 10)
    ecs.slow = 3
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    ecs.busy = {t.arn for t in service.tasks}
    fresh_pass(ecs, edited)
    fewer = replace(
        edited,
        components=tuple(
            replace(c, replicas=1) if c.name == "decode" else c for c in edited.components
        ),
    )
    ecs.graph = fewer
    for _ in range(120):
        result = fresh_pass(ecs, fewer)
        if result.converged:
            break
    assert result.converged
    assert not ecs.refused


def test_no_rollout_begins_where_ecs_refuses_the_protection() -> None:
    declared, ecs = ready_graph(2, 8)
    service = ecs.services["g-decode"]
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    result = plan(edited, ecs.snapshot(), Memory(started_at=ecs.now), ecs.clock)
    assert any(isinstance(a, UpdateService) and a.revision for a in result.actions)
    service.desired = 1  # Somebody lowers the count before the plan is executed.
    ecs.execute(result.actions)
    assert ecs.refused
    assert service.revision.endswith(":1")
    for _ in range(60):
        result = fresh_pass(ecs, edited)
        if result.converged:
            break
    assert result.converged
    assert service.revision.endswith(":2")


def test_a_stepwise_scale_in_protects_no_more_than_ecs_takes() -> None:
    declared, ecs = ready_graph(4, 8)
    service = ecs.services["g-decode"]
    ecs.busy = {t.arn for t in service.tasks[:3]}
    for count in (3, 2, 1):
        declared = replace(
            declared,
            components=tuple(
                replace(c, replicas=count) if c.name == "decode" else c for c in declared.components
            ),
        )
        ecs.graph = declared
        fresh_pass(ecs, declared)
        ecs.busy = {t.arn for t in service.tasks}
    for _ in range(60):
        result = fresh_pass(ecs, declared)
        if result.converged:
            break
    assert result.converged
    assert not ecs.refused


def test_the_plan_of_a_rollout_that_begins_releases_before_it_protects() -> None:
    declared, ecs = ready_graph(2, 8)
    for task in ecs.services["g-decode"].tasks:
        task.protected_until = ecs.now + 90
    half = replace(
        declared,
        components=tuple(with_rollout(c, minimum_healthy_percent=50) for c in declared.components),
    )
    ecs.graph = edited = with_image(half, "decode", "dynamo:2")
    result = plan(edited, ecs.snapshot(), Memory(started_at=ecs.now), ecs.clock)
    asked = [a for a in result.actions if isinstance(a, ProtectTasks)]
    assert [a.minutes for a in asked] == [None, 7]
    assert {len(a.tasks) for a in asked} == {1}


@pytest.mark.parametrize("name", ["frontend", "decode"])
def test_protections_that_a_rollout_has_left_hold_up_no_scale_in(name: str) -> None:
    """After a rollback the old side is in force again, and protected for as long as a rollout."""
    declared = graph(frontends=2, decode=2)
    ecs, _ = converged(declared)
    for task in ecs.services[f"g-{name}"].tasks:
        task.protected_until = ecs.now + 1800
    ecs.graph = fewer = replace(
        declared,
        components=tuple(
            replace(c, replicas=1) if c.name == name else c for c in declared.components
        ),
    )
    for _ in range(10):
        result = fresh_pass(ecs, fewer)
        if result.converged:
            break
    assert result.converged
    assert len(ecs.services[f"g-{name}"].tasks) == 1
