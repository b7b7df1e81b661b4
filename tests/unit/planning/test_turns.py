"""System ports of revisions that may come to share an instance, and how long a new one stays on
probation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import TAG_GOOD, Component, Graph, Role
from ecs_dynamo.model.plan import Endpoints, Memory, ProtectTasks
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    ContainerInstance,
    Revision,
    Snapshot,
    Task,
)
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.port_turns import (
    render_in_turn,
    take_turn,
)
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.desired.rendering import render
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.facts import state_of, with_snapshot
from tests.helpers.graphs import (
    component,
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

ENDS = Endpoints("http://10.0.0.9:2379", "nats://10.0.0.8:4222")
CHECK = {"command": ["CMD-SHELL", "curl localhost:$DYN_SYSTEM_PORT/health"]}


def hosted(**changes: Any) -> Component:
    result = component("decode", Role.DECODE, mode="host", **changes)
    container = {**result.template["containerDefinitions"][0], "healthCheck": CHECK}
    return replace(result, template={**result.template, "containerDefinitions": [container]})


def port_of(content: Any) -> str | None:
    return environment_value(content, "DYN_SYSTEM_PORT")


def state_and_snapshot(
    declared: Graph, current: Revision, *revisions: Revision, free: int
) -> tuple[ComponentState, Any]:
    """A service that is set to ``current``, with a running task of each of ``revisions``."""
    decode = declared.component("decode")
    service = Service(
        "arn:s", "g-decode", "gpu", "ACTIVE", 1, 1, 0, current.arn,
        deployments=(Deployment("d-new", "PRIMARY", current.arn, 1, 0, 0),),
    )  # fmt: skip
    tasks = tuple(
        Task(
            f"t{n}", r.arn, "RUNNING", "RUNNING",
            container_instance_arn="arn:ci/0", deployment="d-old",
        )
        for n, r in enumerate(revisions)
    )  # fmt: skip
    observed = ComponentSnapshot(
        service=service, tasks=tasks, revisions={r.arn: r for r in (current, *revisions)}
    )
    instance = ContainerInstance(
        "arn:ci/0", "i-0", "ACTIVE", True, "10.9.0.1", gpus=4, gpus_free=free
    )
    snapshot = Snapshot("g", 1000.0, {"decode": observed}, container_instances={"gpu": (instance,)})
    return state_of(decode, observed), snapshot


def revision(number: int, content: Any) -> Revision:
    print_ = fingerprint(content)
    return Revision(f"arn:td:{number}", "g-decode", number, content, {"ecs-dynamo:x": print_})


def test_the_next_revision_takes_a_port_that_no_running_task_has() -> None:
    declared = replace(graph(), components=(hosted(),))
    ports = plan_ports(declared)
    first = revision(1, render(declared, declared.component("decode"), ENDS, 8081))
    item, snapshot = state_and_snapshot(declared, first, first, free=3)
    # The declared revision runs: it keeps its port if no other deployment has it.
    same = with_snapshot(item, tasks=())
    assert port_of(render_in_turn(declared, same, ENDS, ports, snapshot)) == "8081"
    edited = with_image(declared, "decode", "dynamo:2")
    newer = render_in_turn(edited, item, ENDS, ports, snapshot)
    assert port_of(newer) == "8101"
    # The next is replaced before it is ready: both others still run.
    item, snapshot = state_and_snapshot(
        declared, revision(2, newer), first, revision(2, newer), free=3
    )
    third = render_in_turn(with_image(declared, "decode", "dynamo:3"), item, ENDS, ports, snapshot)
    assert port_of(third) == "8121"


def test_going_back_takes_a_port_of_its_own_where_an_instance_is_shared() -> None:
    declared = replace(graph(), components=(hosted(),))
    ports = plan_ports(declared)
    decode = declared.component("decode")
    first = revision(1, render(declared, decode, ENDS, 8081))
    bad = revision(2, render(with_image(declared, "decode", "dynamo:2"), decode, ENDS, 8101))
    for free, port in ((3, "8101"), (0, "8081")):
        item, snapshot = state_and_snapshot(declared, bad, first, free=free)
        on_hold = replace(item, content=first.content, fingerprint=fingerprint(first.content))
        back = take_turn(on_hold, ports, snapshot)
        assert port_of(back) == port
    # It is what the service is set to now: another pass changes nothing.
    item, snapshot = state_and_snapshot(declared, again := revision(3, back), first, free=0)
    on_hold = replace(item, content=again.content, fingerprint=fingerprint(again.content))
    assert take_turn(on_hold, ports, snapshot) is again.content


def test_a_port_that_the_task_definition_fixes_is_declared_to_ecs() -> None:
    base = hosted()
    container = base.template["containerDefinitions"][0]
    fixed = [*container["environment"], {"name": "DYN_SYSTEM_PORT", "value": "9000"}]
    result = {**base.template, "containerDefinitions": [{**container, "environment": fixed}]}
    declared = replace(graph(), components=(replace(base, template=result),))
    ports = plan_ports(declared)
    assert (dict(ports.system_ports), dict(ports.turns)) == ({"decode": 9000}, {})
    assert any("9000: reserved as a host port" in note for note in ports.notes)
    content = render(declared, declared.component("decode"), ENDS, 9000)
    (mapping,) = content["containerDefinitions"][0]["portMappings"]
    assert mapping == {"containerPort": 9000, "hostPort": 9000, "protocol": "tcp"}
    bridged = replace(declared, components=(component("decode", Role.DECODE, mode="bridge"),))
    content = render(bridged, bridged.component("decode"), ENDS, 8081)
    (mapping,) = content["containerDefinitions"][0]["portMappings"]
    assert mapping == {"containerPort": 8081, "hostPort": 0, "protocol": "tcp"}
    (note,) = plan_ports(bridged).notes
    assert note.startswith("decode: bridge mode without a mapping of system port 8081: mapped to")
    mapped = component("decode", Role.DECODE, mode="bridge", template={**content, "family": "d"})
    assert plan_ports(replace(declared, components=(mapped,))).notes == ()


def test_workers_that_choose_their_ports_have_a_routing_id_by_revision() -> None:
    packed = component("decode", Role.DECODE, mode="host", replicas=4)
    declared = replace(graph(), components=(packed,))

    def routing_id(of: Graph, port: int = 0) -> str | None:
        content = render(of, of.component("decode"), ENDS, port)
        return environment_value(content, "DYN_STABLE_ROUTING_ID")

    first, second = routing_id(declared), routing_id(with_image(declared, "decode", "dynamo:2"))
    assert first is not None
    assert first.startswith("ecs-dynamo-")
    assert first != second
    assert routing_id(declared) == first
    assert routing_id(declared, 8081) is None
    container = packed.template["containerDefinitions"][0]
    own = [*container["environment"], {"name": "DYN_STABLE_ROUTING_ID", "value": "mine"}]
    result = {**packed.template, "containerDefinitions": [{**container, "environment": own}]}
    theirs = replace(declared, components=(replace(packed, template=result),))
    assert routing_id(theirs) == "mine"


def test_an_old_replica_goes_after_its_successor_has_stayed_ready_for_a_lease() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    ready_at: float | None = None
    released_at: float | None = None
    good_at: float | None = None
    for _ in range(200):
        result = run_pass(ecs, edited, memory, seconds=2.0)
        memory = result.memory
        new = [t for t in ecs.serving("decode") if ecs._image(t.revision) == "dynamo:2"]
        at = ecs.now
        if new and ready_at is None:
            ready_at = at
        if released_at is None and any(
            isinstance(a, ProtectTasks) and a.component == "decode" and a.minutes is None
            for a in result.actions
        ):
            released_at = at
        if good_at is None and service.tags.get(TAG_GOOD) == "2":
            good_at = at
        if result.converged:
            break
    assert result.converged
    assert ready_at is not None
    assert released_at is not None
    assert good_at is not None
    lease = declared.runtime.lease_seconds
    assert lease <= released_at - ready_at <= lease + 6
    # The lease is counted once: who was released for it is not waited for again.
    assert good_at - released_at < 12


def test_a_replica_that_exits_within_the_lease_is_not_a_successor() -> None:
    declared = graph()
    ecs = SimulatedEcs(declared)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    edited = with_image(declared, "decode", "dynamo:2")
    (old,) = ecs.serving("decode")
    service = ecs.services["g-decode"]
    for number in range(60):
        result = run_pass(ecs, edited, memory, seconds=5.0)
        memory = result.memory
        # Each new replica registers, serves for 20 s, and exits.
        for task in list(service.tasks):
            if task is not old and task.age >= 5:
                service.tasks.remove(task)
        assert old in service.tasks, number
        assert service.tags.get(TAG_GOOD) == "1"
