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
    wanted = graph()
    ecs, _ = converged(wanted)
    bad = with_image(wanted, "decode", "dynamo:bad")
    made = plan(bad, ecs.snapshot(), Memory(ecs.now), ecs.clock)
    (register,) = (a for a in made.actions if isinstance(a, RegisterTaskDefinition))
    ecs.apply(register)
    seen = ecs.snapshot()
    part = seen.components["decode"]
    newest = replace(part.revision, registered_at=500.0)  # type: ignore[type-var]  # known here
    assert isinstance(part.service, Service)
    service = replace(part.service, rolled_back_at=600.0)
    look = changed(
        seen,
        "decode",
        revision=newest,
        revisions={
            a: r for a, r in part.revisions.items() if r.fingerprint != register.fingerprint
        },
        service=service,
    )
    told = plan(bad, look, Memory(ecs.now), ecs.clock)
    assert "gave up" in told.failures["decode"]
    assert told.stuck
    assert not told.actions
    # A rollback from before it was registered is of another revision: it may be tried.
    early = changed(look, "decode", service=replace(service, rolled_back_at=400.0))
    tried = plan(bad, early, Memory(ecs.now), ecs.clock)
    assert [type(a) for a in tried.actions] == [ProtectTasks, UpdateService]
    assert not tried.stuck


def test_a_component_that_is_held_follows_moved_endpoints_with_what_runs() -> None:
    """A failed declaration is not tried again only because etcd moved meanwhile."""
    wanted = graph()
    ecs, memory = converged(wanted)
    ecs.bad_images.add("dynamo:bad")
    bad = ecs.graph = with_image(wanted, "decode", "dynamo:bad")
    for _ in range(12):
        made = run_pass(ecs, bad, memory)
        memory = made.memory
    assert "decode" in made.failures
    ecs.kill("etcd-nats")
    for _ in range(30):
        made = run_pass(ecs, bad, memory)
        memory = made.memory
    assert not made.actions
    content = ecs.content_of("g-decode")
    assert content["containerDefinitions"][0]["image"] == "dynamo:1"
    assert environment_value(content, "ETCD_ENDPOINTS") == made.endpoints.etcd
    assert ecs.served()


def test_what_a_person_rolled_back_is_held_until_the_declaration_changes() -> None:
    wanted = graph()
    ecs, memory = converged(wanted)
    edited = ecs.graph = with_image(wanted, "decode", "dynamo:2")
    port = plan_ports(edited).system_ports["decode"]
    declared = declared_fingerprint(edited, edited.component("decode"), port)
    ecs.services["g-decode"].tags = {**ecs.services["g-decode"].tags, TAG_ROLLED_BACK: declared}
    made = run_pass(ecs, edited, memory)
    assert not made.actions
    assert "rolled back" in made.failures["decode"]
    other = ecs.graph = with_image(wanted, "decode", "dynamo:3")
    converge(ecs, other, made.memory)
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:3"
