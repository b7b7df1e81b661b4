"""Taking a graph down."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.plan import (
    DeleteService,
)
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import (
    Unknown,
)
from ecs_dynamo.planning import down
from tests.helpers.convergence import (
    converged,
)
from tests.helpers.facts import purposes_of
from tests.helpers.graphs import (
    graph,
)


def test_down_takes_dependants_first_and_leaves_foreigners() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    ecs.services["g-decode"].tags.clear()
    first = down(declared, ecs.snapshot())
    assert {a.component for a in first.actions} == {"frontend", "prefill"}
    assert WaitPurpose.DEPENDANTS_DELETED in purposes_of(first, "etcd-nats")
    assert any("left alone" in note for note in first.notes)
    for action in first.actions:
        ecs.apply(action)
    second = down(declared, ecs.snapshot())
    assert [a.component for a in second.actions] == ["etcd-nats"]
    ecs.apply(second.actions[0])
    assert down(declared, ecs.snapshot()).converged


def test_down_waits_for_what_it_cannot_observe() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    observed = ecs.snapshot()
    part = replace(observed.components["prefill"], service=Unknown("throttled"))
    blind = replace(
        observed, components={**observed.components, "prefill": part}, orphans=Unknown("throttled")
    )
    result = down(declared, blind)
    assert not result.converged
    assert {a.component for a in result.actions} == {"frontend", "decode"}
    missing = replace(observed, clusters={**observed.clusters, "gpu": False})
    assert "does not exist" in " ".join(down(declared, missing).notes)


def test_down_removes_orphans_too() -> None:
    declared = graph()
    ecs, _ = converged(declared)
    less = replace(
        declared, components=tuple(c for c in declared.components if c.name != "prefill")
    )
    ecs.graph = less
    result = down(less, ecs.snapshot())
    assert "g-prefill" in {a.service for a in result.actions if isinstance(a, DeleteService)}
    draining = replace(
        ecs.snapshot(),
        orphans=tuple(replace(o, status="DRAINING") for o in ecs.snapshot().orphans or ()),  # type: ignore[union-attr]  # known here
    )
    assert not [a for a in down(less, draining).actions if a.component == "g-prefill"]
