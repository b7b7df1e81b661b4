"""Components on hold."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import TAG_ROLLED_BACK
from ecs_dynamo.model.plan import (
    Memory,
    ProtectTasks,
    RegisterTaskDefinition,
    UpdateService,
)
from ecs_dynamo.model.service import Service
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.desired.declaration import declared_fingerprint
from ecs_dynamo.planning.desired.ports import plan_ports
from tests.helpers.convergence import (
    converge,
    converged,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.observations import changed


def test_a_failure_is_known_to_a_fresh_daemon_by_what_ecs_remembers() -> None:
    """The failed deployment is no longer listed; the rollback's event and the revision are."""
    declared_graph = graph()
    ecs, _ = converged(declared_graph)
    bad = with_image(declared_graph, "decode", "dynamo:bad")
    result = plan(bad, ecs.snapshot(), Memory(ecs.now), ecs.clock)
    (register,) = (a for a in result.actions if isinstance(a, RegisterTaskDefinition))
    ecs.apply(register)
    observed = ecs.snapshot()
    part = observed.components["decode"]
    newest = replace(part.revision, registered_at=500.0)  # type: ignore[type-var]  # known here
    assert isinstance(part.service, Service)
    service = replace(part.service, rolled_back_at=600.0)
    look = changed(
        observed,
        "decode",
        revision=newest,
        revisions={
            a: r for a, r in part.revisions.items() if r.fingerprint != register.fingerprint
        },
        service=service,
    )
    reported = plan(bad, look, Memory(ecs.now), ecs.clock)
    assert "gave up" in reported.failures["decode"]
    assert reported.stuck
    assert not reported.actions
    # A rollback from before it was registered is of another revision: it may be tried.
    early = changed(look, "decode", service=replace(service, rolled_back_at=400.0))
    tried = plan(bad, early, Memory(ecs.now), ecs.clock)
    assert [type(a) for a in tried.actions] == [ProtectTasks, UpdateService]
    assert not tried.stuck


def test_a_component_that_is_on_hold_follows_moved_endpoints_with_what_runs() -> None:
    """A failed declaration is not tried again only because etcd moved meanwhile."""
    declared_graph = graph()
    ecs, memory = converged(declared_graph)
    ecs.bad_images.add("dynamo:bad")
    bad = ecs.graph = with_image(declared_graph, "decode", "dynamo:bad")
    for _ in range(12):
        result = run_pass(ecs, bad, memory)
        memory = result.memory
    assert "decode" in result.failures
    ecs.kill("etcd-nats")
    for _ in range(30):
        result = run_pass(ecs, bad, memory)
        memory = result.memory
    assert not result.actions
    content = ecs.content_of("g-decode")
    assert content["containerDefinitions"][0]["image"] == "dynamo:1"
    assert environment_value(content, "ETCD_ENDPOINTS") == result.endpoints.etcd
    assert ecs.served()


def test_what_a_person_rolled_back_is_on_hold_until_the_declaration_changes() -> None:
    declared_graph = graph()
    ecs, memory = converged(declared_graph)
    edited = ecs.graph = with_image(declared_graph, "decode", "dynamo:2")
    port = plan_ports(edited).system_ports["decode"]
    declared = declared_fingerprint(edited, edited.component("decode"), port)
    ecs.services["g-decode"].tags = {**ecs.services["g-decode"].tags, TAG_ROLLED_BACK: declared}
    result = run_pass(ecs, edited, memory)
    assert not result.actions
    assert "rolled back" in result.failures["decode"]
    other = ecs.graph = with_image(declared_graph, "decode", "dynamo:3")
    converge(ecs, other, result.memory)
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:3"
