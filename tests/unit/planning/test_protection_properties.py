"""Protections while counts, revisions and endpoints change one after another: none is refused.

ECS takes no more protected tasks than a service should run (developer guide, "Task scale-in
protection"), so an old side that is still kept can be in the way of the next one.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.rollouts import fresh_pass, ready_graph
from tests.helpers.simulated_ecs import SimulatedEcs


def with_replicas(base: Graph, name: str, count: int) -> Graph:
    return replace(
        base,
        components=tuple(
            replace(c, replicas=count) if c.name == name else c for c in base.components
        ),
    )


@given(
    decode=st.integers(2, 4),
    spare=st.integers(0, 4),
    changes=st.lists(
        st.tuples(
            st.sampled_from(["image", "count", "busy", "idle", "kill"]),
            st.integers(1, 4),
            st.integers(0, 5),
        ),
        max_size=6,
    ),
    least=st.sampled_from([100, 50]),
)
@settings(max_examples=60, deadline=None)
def test_counts_and_revisions_that_change_in_a_rollout_never_have_a_protection_refused(
    decode: int, spare: int, changes: list[tuple[str, int, int]], least: int
) -> None:
    """Counts that sink while the old side is protected, and one rollout after another."""
    declared, ecs = ready_graph(decode, 2 + 2 * decode + spare, minimum_healthy_percent=least)
    service = ecs.services["g-decode"]
    for number, (what, value, passes) in enumerate([("image", 1, 0), *changes]):
        match what:
            case "image":
                declared = with_image(declared, "decode", f"dynamo:{10 + number}")
            case "count":
                declared = with_replicas(declared, "decode", value)
            case "busy":
                ecs.busy |= {t.arn for t in service.tasks[:value]}
            case "idle":
                ecs.busy = set()
            case "kill":
                ecs.kill("decode", value)
        ecs.graph = declared
        for _ in range(passes):
            fresh_pass(ecs, declared)
    # A replica that is never idle is released after its drain time all the same.
    for _ in range(200):
        result = fresh_pass(ecs, declared)
        if result.converged:
            break
    assert result.converged
    assert not ecs.refused
    count = declared.component("decode").replicas
    assert len(service.tasks) == count
    assert {t.revision for t in service.tasks} == {service.revision}


@pytest.mark.parametrize(
    ("replicas", "edits"),
    [
        # The count rises with the rollout: more serve, and are needed, than should run before it.
        (2, [("image", 2), ("kill", 3), ("image", 0), ("count", 4)]),
        # It has sunk: what drains of the rollout before is in the way of what is needed now.
        (4, [("busy", 5), ("image", 2), ("count", 2), ("image", 0)]),
    ],
)
def test_a_rollout_begins_although_more_is_protected_or_needed_than_should_run(
    replicas: int, edits: list[tuple[str, int]]
) -> None:
    declared, ecs = ready_graph(replicas, 2 + 2 * replicas + (4 if replicas == 4 else 0))
    service = ecs.services["g-decode"]
    ecs.graph = declared = with_image(declared, "decode", "dynamo:9")
    for number, (what, passes) in enumerate(edits):
        if what == "image":
            ecs.graph = declared = with_image(declared, "decode", f"dynamo:{10 + number}")
        elif what == "count":
            ecs.graph = declared = with_replicas(declared, "decode", 4 if replicas == 2 else 1)
        elif what == "busy":
            ecs.busy = {t.arn for t in service.tasks[:2]}
        else:
            ecs.kill("decode", 4)
        for _ in range(passes):
            fresh_pass(ecs, declared)
    for _ in range(25):  # Far less than a protection lasts.
        result = fresh_pass(ecs, declared)
        if result.converged:
            break
    assert result.converged
    assert not ecs.refused


@given(decode=st.integers(3, 5), passes=st.integers(0, 20), idle=st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_scale_in_by_steps_with_busy_replicas_is_never_stuck(
    decode: int, passes: int, idle: bool
) -> None:
    declared, ecs = ready_graph(decode, decode + 2)
    service = ecs.services["g-decode"]
    ecs.busy = {t.arn for t in service.tasks}
    for count in range(decode - 1, 0, -1):
        ecs.graph = declared = with_replicas(declared, "decode", count)
        for _ in range(1 + passes):
            fresh_pass(ecs, declared)
        assert service.desired == count
    if idle:
        ecs.busy = set()
    for _ in range(30):
        fresh_pass(ecs, declared)
    assert len(service.tasks) == 1
    assert not ecs.refused


@given(
    gaps=st.lists(st.integers(0, 8), min_size=1, max_size=3),
    slow=st.integers(0, 3),
    edit=st.booleans(),
)
@example(gaps=[8], slow=0, edit=True)
@example(gaps=[11], slow=3, edit=True)
@settings(max_examples=30, deadline=None)
def test_moves_in_a_row_have_no_protection_refused_and_keep_what_serves(
    gaps: list[int], slow: int, edit: bool
) -> None:
    """Each leaves an old side that is protected; both together are more than should run."""
    declared = graph(prefill=1, decode=2, frontends=2)
    ecs = SimulatedEcs(declared, gpu_instances=16)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    ecs.slow = slow
    outages = 0
    for number, gap in enumerate([0, *gaps]):
        for _ in range(gap):
            memory = run_pass(ecs, declared, memory).memory
            outages += not ecs.served()
        if edit:
            ecs.graph = declared = with_image(declared, "etcd-nats", f"etcd:{number}")
        else:
            ecs.kill("etcd-nats", -1)
    for _ in range(120):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        outages += not ecs.served()
        if result.converged:
            break
    assert result.converged
    assert not ecs.refused
    assert not edit or outages == 0  # An etcd that dies twice in a row leaves nothing to keep.
