"""The progress deadline of single rollouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import (
    Memory,
    TagService,
    UpdateService,
    is_hold,
)
from ecs_dynamo.model.service import Service
from ecs_dynamo.planning import plan
from tests.helpers.convergence import (
    converged,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.observations import changed
from tests.helpers.simulated_ecs import SimulatedEcs


def stalled(declared: Graph, ecs: SimulatedEcs, age: float, event: str = "") -> Any:
    """decode rolls to a new revision whose task is not running, the old one still is."""
    edited = with_image(declared, "decode", "dynamo:2")
    result = plan(edited, ecs.snapshot(), Memory(ecs.now), ecs.clock)
    for action in result.actions:
        ecs.apply(action)
    ecs.graph = edited
    observed = ecs.snapshot()
    service = observed.components["decode"].service
    assert isinstance(service, Service)
    (primary, *rest) = service.deployments
    if not rest:
        old = min(observed.components["decode"].revisions.values(), key=lambda r: r.number)
        rest = [replace(primary, id="old", status="ACTIVE", task_definition_arn=old.arn, running=1)]
    late = replace(primary, running=0, created_at=ecs.now - age, rollout_state="IN_PROGRESS")
    rolled = replace(
        service,
        deployments=(late, *(replace(d, running=1) for d in rest)),
        events=(event,) if event else (),
    )
    return edited, changed(observed, "decode", service=rolled)


def test_a_rollout_that_misses_its_deadline_is_rolled_back_and_put_on_hold() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    edited, look = stalled(declared, ecs, age=1801)
    result = plan(edited, look, Memory(ecs.now), ecs.clock)
    own = [a for a in result.actions if a.component == "decode"]
    assert [type(a) for a in own] == [TagService, UpdateService]
    assert is_hold(own[0])
    (update,) = (a for a in result.actions if isinstance(a, UpdateService))
    assert update.revision is not None
    assert update.revision.arn is not None
    assert update.revision.arn.endswith(":1")
    assert "was not running within 1800 s: back to g-decode:1" in result.failures["decode"]
    for action in result.actions:
        ecs.apply(action)
    for _ in range(10):
        result = run_pass(ecs, edited, Memory(ecs.now))  # a fresh daemon each time
    assert not result.actions
    assert "progress deadline" in result.failures["decode"]
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:1"


@pytest.mark.parametrize(
    ("age", "drain", "status", "fails"),
    [
        (1900, None, "PENDING", True),
        (1900, 300.0, "PENDING", False),
        (2101, 300.0, "PENDING", True),
        (1900, 300.0, "RUNNING", True),
    ],
)
def test_a_replica_waits_for_the_slot_of_one_that_finishes_its_requests(
    age: float, drain: float | None, status: str, fails: bool
) -> None:
    declared = graph()
    components = (
        replace(c, drain_seconds=drain) if c.name == "decode" else c for c in declared.components
    )
    declared = replace(declared, components=tuple(components))
    ecs, _ = converged(declared)
    edited, look = stalled(declared, ecs, age)
    service, tasks = look.components["decode"].service, look.components["decode"].tasks
    (old, *_) = tasks
    new = replace(
        old,
        arn=f"{old.arn[:-4]}beef",
        task_definition_arn=service.task_definition_arn,
        deployment=service.deployments[0].id,
        last_status=status,
        created_at=ecs.now - age,
        started_at=ecs.now - age if status == "RUNNING" else None,
    )
    look = changed(look, "decode", tasks=(old, new))
    result = plan(edited, look, Memory(ecs.now), ecs.clock)
    assert ("decode" in result.failures) == fails


@pytest.mark.parametrize(
    ("age", "event"),
    [(1700, ""), (9999, "(service x) was unable to place a task because no container instance")],
)
def test_time_left_or_a_lack_of_capacity_is_waited_for(age: float, event: str) -> None:
    declared = graph()
    ecs, _ = converged(declared)
    edited, look = stalled(declared, ecs, age, event)
    result = plan(edited, look, Memory(ecs.now), ecs.clock)
    assert not [a for a in result.actions if is_hold(a)]
    assert "decode" not in result.failures
