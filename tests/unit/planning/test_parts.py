"""The smaller rules of the plan, one by one: readable cases beside the properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, Component, Graph, Role
from ecs_dynamo.model.plan import (
    CreateService,
    DeleteService,
    Endpoints,
    Memory,
    ProtectTasks,
    RegisterTaskDefinition,
    RevisionRef,
    TagService,
    UpdateService,
    is_hold,
)
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import DeploymentLimits, LoadBalancer, ServiceSettings
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Container,
    PortBinding,
    Probe,
    Signal,
    SignalKind,
    Task,
    Unknown,
)
from ecs_dynamo.model.spec.infrastructure import (
    InfraServiceSpec,
    InfrastructureSpec,
)
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.scaling import (
    PlannerSource,
    QueueScaling,
    SloScaling,
)
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning import describe, describe_action, down, plan, probe_targets
from ecs_dynamo.planning.capacity.packing import Allocatable
from ecs_dynamo.planning.capacity.surge import (
    FreeCapacity,
    free_capacity,
    one_at_a_time,
    surge_fits,
)
from ecs_dynamo.planning.describe import content_diff
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.declaration import declared_fingerprint, with_endpoints
from ecs_dynamo.planning.desired.obstacles import ObstacleReason, find_obstacle
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.desired.rendering import (
    fill_placeholders,
    render,
)
from ecs_dynamo.planning.observed.endpoints import resolve_endpoints
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.rollout.protection import protect_busy_tasks
from ecs_dynamo.planning.scaling.dynamo_planner import planner_reached
from tests.helpers.convergence import (
    converge,
    converged,
    run_pass,
)
from tests.helpers.facts import context_of, purposes_of, ready_tasks, state_of
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    template,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

ENDS = Endpoints("http://10.0.0.9:2379", "nats://10.0.0.8:4222")


def environment(content: Any, name: str) -> dict[str, str]:
    (found,) = (c for c in content["containerDefinitions"] if c["name"] == name)
    return {e["name"]: e["value"] for e in found.get("environment", ())}


# Rendering -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("http://IP_ADDRESS:2379", "", "http://10.0.0.9:2379"),
        ("nats://IP_ADDRESS:4222", "", "nats://10.0.0.8:4222"),
        ("IP_ADDRESS", "", "10.0.0.9"),
        ("IP_ADDRESS", "MY_NATS_HOST", "10.0.0.8"),
        ("IP_ADDRESS:2379", "NATS_OR_NOT", "10.0.0.9:2379"),
        (
            "curl IP_ADDRESS:2379; curl IP_ADDRESS:4222",
            "",
            "curl 10.0.0.9:2379; curl 10.0.0.8:4222",
        ),
        ("nothing to fill", "", "nothing to fill"),
    ],
)
def test_placeholders(text: str, name: str, expected: str) -> None:
    assert fill_placeholders(text, ENDS, name) == expected
    assert fill_placeholders("IP_ADDRESS", Endpoints()) == "IP_ADDRESS"


def test_secrets_and_the_users_own_settings_stay() -> None:
    base = component("prefill", Role.PREFILL)
    content = template("prefill", "awsvpc", gpus=1)
    container = content["containerDefinitions"][0]
    container["environment"] = [
        {"name": "DYN_NAMESPACE", "value": "mine"},
        {"name": "ETCD_HOST", "value": "IP_ADDRESS"},
    ]
    container["secrets"] = [{"name": "NATS_SERVER", "valueFrom": "arn:aws:ssm:x"}]
    container["command"] = ["--etcd", "http://IP_ADDRESS:2379"]
    content["containerDefinitions"].append(
        {"name": "logs", "image": "fluentbit", "essential": True}
    )
    made = render(graph(), replace(base, template=content), ENDS, 8081)
    found = environment(made, "prefill")
    assert found["DYN_NAMESPACE"] == "mine"
    assert found["ETCD_ENDPOINTS"] == ENDS.etcd
    assert found["ETCD_HOST"] == "10.0.0.9"
    assert "NATS_SERVER" not in found
    assert found["DYN_SYSTEM_PORT"] == "8081"
    assert made["containerDefinitions"][0]["command"] == ["--etcd", ENDS.etcd]
    assert environment(made, "logs") == {}
    assert container["command"] == ["--etcd", "http://IP_ADDRESS:2379"]  # the template is as it was


def test_a_graph_without_nats_has_no_address_that_nobody_serves() -> None:
    made = render(graph(), component("prefill", Role.PREFILL), Endpoints(ENDS.etcd), 8081)
    assert "NATS_SERVER" not in environment(made, "prefill")


def test_a_fingerprint_is_of_content_not_of_order() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint({})) == 16


# Ports ---------------------------------------------------------------------------------------


def with_template(base: Component, **container: Any) -> Component:
    content = template(base.name, base.template["networkMode"], gpus=1)
    content["containerDefinitions"][0].update(container)
    return replace(base, template=content)


def test_host_mode_replicas_never_share_a_port() -> None:
    check = {"command": ["CMD-SHELL", "curl localhost:$DYN_SYSTEM_PORT/health"]}
    fixed = {"command": ["CMD-SHELL", "curl localhost:8081/health"]}
    host: Any = {"mode": "host"}
    wanted = replace(
        graph(),
        components=(
            component("etcd-nats", Role.ETCD, Role.NATS),
            component("frontend", Role.FRONTEND, replicas=2, **host),
            component("one", Role.DECODE, **host),
            component("many", Role.PREFILL, replicas=3, **host),
            with_template(component("checked", Role.DECODE, replicas=2, **host), healthCheck=check),
            with_template(component("literal", Role.DECODE, replicas=2, **host), healthCheck=fixed),
            component("vpc", Role.WORKER, replicas=4),
            component("planner", Role.PLANNER, **host),
        ),
    )
    ports = plan_ports(wanted)
    assert ports.distinct_instances == {"frontend", "checked", "literal"}
    assert ports.system_ports == {
        "frontend": 8081,
        "one": 8081,
        "many": 0,
        "checked": 8083,
        "literal": 8081,
        "vpc": 8081,
        "planner": 8081,
    }
    notes = " ".join(ports.notes)
    for words in ("frontend: host mode", "many: host mode with up to 3", "checked", "port 8083"):
        assert words in notes
    dynamic = replace(wanted, runtime=wanted.runtime.model_copy(update={"system_port": 0}))
    assert set(plan_ports(dynamic).system_ports.values()) == {0}


def test_the_replicas_of_one_component_are_nothing_to_the_port_of_another() -> None:
    """Else the other would roll to the port that the running task of the first still holds."""

    def ports(prefill: int, **change: Any) -> dict[str, int]:
        first = component("prefill", Role.PREFILL, mode="host", replicas=prefill)
        second = component("decode", Role.DECODE, mode="host")
        made = plan_ports(replace(graph(), components=(with_template(first, **change), second)))
        return dict(made.system_ports)

    assert ports(1) == {"prefill": 8081, "decode": 8082}
    assert ports(3) == {"prefill": 0, "decode": 8082}
    fixed = {"environment": [{"name": "DYN_SYSTEM_PORT", "value": "9000"}]}
    assert ports(1, **fixed) == {"prefill": 9000, "decode": 8082}
    assert ports(1, environment=[{"name": "DYN_SYSTEM_PORT", "value": "0"}])["decode"] == 8082


# Endpoints and readiness ---------------------------------------------------------------------


def test_bridge_mode_is_reached_at_its_mapped_port() -> None:
    bridged = component("etcd-nats", Role.ETCD, Role.NATS, mode="bridge")
    bound = (Container("etcd", "RUNNING", bindings=(PortBinding(2379, 49153),)),)
    task = Task("t", "td", "RUNNING", "RUNNING", private_ip="10.1.0.1", containers=bound)
    urls = probe_targets(graph(), bridged, [task, replace(task, last_status="PENDING")])
    # NATS's port is not mapped (yet): it cannot be reached, so it is not probed.
    assert urls == {("t", Role.ETCD): "http://10.1.0.1:49153"}
    nowhere = replace(task, private_ip=None)
    assert probe_targets(graph(), bridged, [nowhere]) == {}


def test_external_endpoints_count_when_one_answers() -> None:
    base = graph()
    urls = ("http://a:2379", "http://b:2379")
    wanted = replace(base, components=base.components[1:], external_etcd=urls)
    ecs = SimulatedEcs(wanted)
    seen = ecs.snapshot()
    assert resolve_endpoints(wanted, seen) == Endpoints()
    up = replace(seen, external={urls[0]: Probe(urls[0], False), urls[1]: Probe(urls[1], True)})
    assert resolve_endpoints(wanted, up).etcd == "http://a:2379,http://b:2379"
    down_ = replace(seen, external={u: Probe(u, False) for u in urls})
    assert resolve_endpoints(wanted, down_).etcd is None
    assert not wanted.has_nats


def test_a_frontend_without_a_model_is_not_ready_unless_nothing_could_serve() -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    seen = ecs.snapshot()
    frontend = wanted.component("frontend")
    mute = replace(
        seen.components["frontend"],
        probes={k: replace(p, models=()) for k, p in seen.components["frontend"].probes.items()},
    )
    blank = replace(seen, components={**seen.components, "frontend": mute})
    assert ready_tasks(wanted, frontend, seen)
    assert not ready_tasks(wanted, frontend, blank)
    alone = replace(
        wanted,
        components=tuple(replace(c, replicas=0) if c.is_worker else c for c in wanted.components),
    )
    assert ready_tasks(alone, frontend, blank)
    assert ready_tasks(wanted, frontend, replace(seen, components={})) == ()


def test_a_worker_is_not_lost_because_discovery_could_not_be_read() -> None:
    tasks = tuple(
        Task(f"t{i}", "td", "RUNNING", "RUNNING", private_ip="10.9.0.1") for i in range(3)
    )
    prefill = component("prefill", Role.PREFILL, mode="host")
    wanted = replace(graph(), components=(prefill,))
    seen = SimulatedEcs(graph()).snapshot()
    part = replace(seen.components["prefill"], tasks=tasks, service=None)
    unread = replace(seen, components={"prefill": part}, registrations=Unknown("etcd is down"))
    assert len(ready_tasks(wanted, prefill, unread)) == 3
    assert ready_tasks(wanted, prefill, unread, proven=True) == ()
    gone = observe_graph(wanted, replace(unread, components={})).counts(prefill)
    assert (gone.desired, gone.running, gone.ready) == (1, 0, 0)


def test_environment_value_is_the_first_plain_one() -> None:
    assert environment_value({"containerDefinitions": [{"name": "a"}]}, "X") is None


# Capacity ------------------------------------------------------------------------------------


def test_capacity_counts_slots_an_instance_not_in_total() -> None:
    two = replace(component("big", Role.PREFILL), template=template("big", "host", gpus=2))
    big = state_of(two, ComponentSnapshot(service=None))

    def rooms(*gpus: int) -> FreeCapacity:
        found = tuple(Allocatable(f"i{n}", have, 4096, 4096) for n, have in enumerate(gpus))
        return FreeCapacity({"gpu": found})

    assert not surge_fits(big, 1, rooms(1, 1, 1))
    assert surge_fits(big, 2, rooms(2, 3))
    assert surge_fits(big, 0, FreeCapacity())
    assert not surge_fits(big, 1, FreeCapacity())
    ecs, _ = converged(graph())
    seen = ecs.snapshot()
    assert free_capacity(replace(seen, container_instances={"gpu": Unknown("x")})).clusters == {}
    spec = one_at_a_time(DeploymentLimits(), 4)
    assert (spec.minimum_healthy_percent, spec.maximum_percent) == (75, 100)
    assert one_at_a_time(DeploymentLimits(), 0).minimum_healthy_percent == 0


# Down ----------------------------------------------------------------------------------------


def test_down_takes_dependants_first_and_leaves_foreigners() -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    ecs.services["g-decode"].tags.clear()
    first = down(wanted, ecs.snapshot())
    assert {a.component for a in first.actions} == {"frontend", "prefill"}
    assert WaitPurpose.DEPENDANTS_DELETED in purposes_of(first, "etcd-nats")
    assert any("left alone" in note for note in first.notes)
    for action in first.actions:
        ecs.apply(action)
    second = down(wanted, ecs.snapshot())
    assert [a.component for a in second.actions] == ["etcd-nats"]
    ecs.apply(second.actions[0])
    assert down(wanted, ecs.snapshot()).converged


def test_down_waits_for_what_it_can_not_see() -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    seen = ecs.snapshot()
    part = replace(seen.components["prefill"], service=Unknown("throttled"))
    blind = replace(
        seen, components={**seen.components, "prefill": part}, orphans=Unknown("throttled")
    )
    made = down(wanted, blind)
    assert not made.converged
    assert {a.component for a in made.actions} == {"frontend", "decode"}
    missing = replace(seen, clusters={**seen.clusters, "gpu": False})
    assert "does not exist" in " ".join(down(wanted, missing).notes)


def test_down_removes_orphans_too() -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    less = replace(wanted, components=tuple(c for c in wanted.components if c.name != "prefill"))
    ecs.graph = less
    made = down(less, ecs.snapshot())
    assert "g-prefill" in {a.service for a in made.actions if isinstance(a, DeleteService)}
    draining = replace(
        ecs.snapshot(),
        orphans=tuple(replace(o, status="DRAINING") for o in ecs.snapshot().orphans or ()),  # type: ignore[union-attr]  # known here
    )
    assert not [a for a in down(less, draining).actions if a.component == "g-prefill"]


# Planning ------------------------------------------------------------------------------------


def test_what_stands_in_the_way_is_said() -> None:
    wanted = graph()
    ecs, memory = converged(wanted)
    seen = ecs.snapshot()
    unknown = replace(seen, clusters={**seen.clusters, "gpu": Unknown("denied")})
    cases: list[tuple[Any, ObstacleReason]] = [
        (unknown, ObstacleReason.NOT_OBSERVED),
        (
            replace(seen, clusters={**seen.clusters, "gpu": False}),
            ObstacleReason.CLUSTER_MISSING,
        ),
        (
            replace(seen, components={"etcd-nats": seen.components["etcd-nats"]}),
            ObstacleReason.NOT_OBSERVED,
        ),
        (changed(seen, "prefill", revisions={}), ObstacleReason.NOT_OBSERVED),
        (changed(seen, "prefill", service=draining(seen)), ObstacleReason.SERVICE_DRAINING),
    ]
    for look, reason in cases:
        obstacle = find_obstacle(wanted, wanted.component("prefill"), look)
        assert obstacle is not None
        assert obstacle.reason is reason
        made = plan(wanted, look, memory, ecs.clock)
        assert WaitPurpose.OBSTACLE in purposes_of(made, "prefill")
        assert not [a for a in made.actions if a.component == "prefill"]
        reasons = {c.component for c in made.conditions if c.type == "Degraded" and c.status}
        assert "prefill" in reasons or "prefill" not in look.components


def changed(seen: Any, name: str, **changes: Any) -> Any:
    part = replace(seen.components[name], **changes)
    return replace(seen, components={**seen.components, name: part})


def draining(seen: Any) -> Any:
    return replace(seen.components["prefill"].service, status="DRAINING")


def test_a_lack_of_places_is_a_condition_in_ecss_words() -> None:
    wanted = graph(prefill=2)
    ecs, memory = converged(wanted)
    seen = ecs.snapshot()
    service = seen.components["prefill"].service
    assert isinstance(service, Service)
    event = "(service g-prefill) was unable to place a task because no container instance met all"
    short = replace(service, running=1, events=(event,))
    made = plan(wanted, changed(seen, "prefill", service=short), memory, ecs.clock)
    (condition,) = (
        c
        for c in made.conditions
        if c.type is ConditionType.CAPACITY_SHORT and c.component == "prefill"
    )
    assert (condition.status, condition.message) == (True, event)


def test_another_network_is_set_and_a_target_group_is_created() -> None:
    wanted = graph()
    ecs, memory = converged(wanted)
    other = NetworkSpec(subnets=("subnet-2",), security_groups=("sg-1",))
    moved = replace(
        wanted,
        components=tuple(
            redeclared(c, network=other) if c.name == "decode" else c for c in wanted.components
        ),
    )
    made = plan(moved, ecs.snapshot(), memory, ecs.clock)
    (update,) = (a for a in made.actions if isinstance(a, UpdateService))
    assert (update.settings.network, update.reason) == (other, "network configuration differs")

    content = template("frontend", "host")
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 8000}]
    front = component(
        "frontend", Role.FRONTEND, mode="host", template=content, target_group_arn="arn:tg"
    )
    plain = replace(front, template=template("frontend", "host"))
    for one in (front, plain):
        fresh = replace(wanted, components=(wanted.components[0], one))
        found = SimulatedEcs(fresh)
        first = converge_until_create(found, fresh, "frontend")
        assert first.settings.load_balancers == (LoadBalancer("arn:tg", "frontend", 8000),)
        assert [c.type for c in first.settings.placement_constraints or ()] == ["distinctInstance"]


def converge_until_create(ecs: SimulatedEcs, wanted: Graph, name: str) -> CreateService:
    memory = Memory(started_at=ecs.now)
    for _ in range(10):
        made = run_pass(ecs, wanted, memory)
        memory = made.memory
        for action in made.actions:
            if isinstance(action, CreateService) and action.component == name:
                return action
    raise AssertionError("never created")


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


def test_a_failed_component_holds_back_those_behind_it() -> None:
    wanted = graph()
    ecs, memory = converged(wanted)
    ecs.bad_images.add("dynamo:bad")
    edited = with_image(with_image(wanted, "decode", "dynamo:bad"), "frontend", "dynamo:2")
    ecs.graph = edited
    for _ in range(25):
        made = run_pass(ecs, edited, memory)
        memory = made.memory
    assert not made.actions
    assert "decode" in made.failures
    assert WaitPurpose.ROLLOUT_TURN in purposes_of(made, "frontend")


def test_the_planner_is_told_when_every_count_it_asked_for_is_ready() -> None:
    scaling = SloScaling(min=1, max=3, signals=(PlannerSource(source="planner"),))
    wanted = graph(prefill=2, scaling=scaling)
    ecs, _ = converged(wanted)
    seen = ecs.snapshot()
    replicas = {c.name: observe_graph(wanted, seen).counts(c) for c in wanted.components}

    def reached(*wishes: tuple[float, float]) -> bool:
        signals = tuple(
            Signal(
                "prefill", SignalKind.DESIRED_REPLICAS, value, "replicas", seen.observed_at - age
            )
            for value, age in wishes
        )
        return planner_reached(wanted, replace(seen, signals=signals), replicas)

    assert replicas["prefill"].ready == 2
    assert not reached()
    assert reached((2, 0))
    assert not reached((3, 0))
    assert not reached((9, 0))
    assert not reached((2, 1000))
    assert not planner_reached(graph(), seen, replicas)


# Words ---------------------------------------------------------------------------------------


def test_actions_and_plans_read_well() -> None:
    wanted = graph()
    ecs, memory = converged(wanted)
    made = plan(with_image(wanted, "decode", "dynamo:2"), ecs.snapshot(), memory, ecs.clock)
    lines = describe(made, ecs.snapshot())
    assert any(line.startswith("decode: register task definition g-decode") for line in lines)
    assert "    - containerDefinitions[decode].image: dynamo:1" in lines
    assert "    + containerDefinitions[decode].image: dynamo:2" in lines
    assert any(line.startswith("decode: update service g-decode") for line in lines)
    protect = ProtectTasks(component="a", reason="r", cluster="c", tasks=("t", "u"), minutes=5)
    assert describe_action(protect) == "a: protect 2 tasks: r"
    assert describe_action(replace(protect, minutes=None)) == "a: release 2 tasks: r"
    gone = DeleteService(component="a", reason="r", cluster="c", service="s")
    assert describe_action(gone) == "a: delete service s in c: r"
    create = CreateService(
        component="a",
        reason="r",
        cluster="c",
        service="s",
        revision=RevisionRef("f", "x"),
        desired=2,
        settings=ServiceSettings(),
    )
    assert describe_action(create) == "a: create service s x2 in c: r"
    assert content_diff({"a": [1]}, {"a": [1, 2], "b": {"c": 3}}) == ["+ a[1]: 2", "+ b.c: 3"]


def test_a_first_plan_describes_without_a_snapshot() -> None:
    wanted = graph()
    made = plan(wanted, SimulatedEcs(wanted).snapshot(), Memory(0.0), Now.at(0.0))
    lines = describe(made)
    assert any("create service g-etcd-nats" in line for line in lines)
    assert any("wait: frontend: waiting for a ready etcd and NATS" in line for line in lines)


# The model's own rules -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SloScaling(min=5, max=2), "min 5 is above max 2"),
        (lambda: RolloutSpec(maximum_percent=90), "below 100"),
        (
            lambda: RolloutSpec(maximum_percent=100, minimum_healthy_percent=100),
            "can never replace",
        ),
        (lambda: InfraServiceSpec(), "exactly one"),
        (lambda: InfraServiceSpec(task_definition="x", endpoints=("y",)), "exactly one"),
        (lambda: InfrastructureSpec(), "give taskDefinition"),
        (
            lambda: InfrastructureSpec(
                task_definition="x", etcd=InfraServiceSpec(task_definition="y")
            ),
            "leave out etcd",
        ),
    ],
)
def test_the_model_refuses(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_graph_finds_its_components() -> None:
    wanted = graph()
    assert wanted.with_role(Role.PLANNER) is None
    assert wanted.clusters == ("fargate", "gpu")
    with pytest.raises(KeyError):
        wanted.component("none")


# Held ----------------------------------------------------------------------------------------


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


def test_endpoints_are_swapped_wherever_they_stand() -> None:
    content = {
        "containerDefinitions": [
            {
                "name": "a",
                "command": ["--etcd", "10.0.0.1:2379", "--host", "10.0.0.1"],
                "environment": [
                    {"name": "ETCD_ENDPOINTS", "value": "http://10.0.0.1:2379"},
                    {"name": "NATS_SERVER", "value": "nats://10.0.0.1:4222"},
                ],
            }
        ]
    }
    made = with_endpoints(content, ENDS)
    (container,) = made["containerDefinitions"]
    assert container["command"] == ["--etcd", "10.0.0.9:2379", "--host", "10.0.0.9"]
    assert environment(made, "a") == {"ETCD_ENDPOINTS": ENDS.etcd, "NATS_SERVER": ENDS.nats}
    assert with_endpoints(made, ENDS) is made


# Draining ------------------------------------------------------------------------------------


@given(busy=st.sets(st.integers(0, 3), max_size=4), count=st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_scale_in_takes_idle_replicas_first(busy: set[int], count: int) -> None:
    scaling = QueueScaling(min=1, max=4, target=1, scale_down_stabilization_seconds=0)
    wanted = graph(prefill=count, scaling=scaling)
    ecs = SimulatedEcs(wanted, gpu_instances=8)

    def demand(value: float) -> None:
        ecs.signals = (Signal("prefill", SignalKind.QUEUE_DEPTH, value, "requests", ecs.now),)

    memory = Memory(started_at=ecs.now)
    for _ in range(20):
        demand(float(count))
        memory = run_pass(ecs, wanted, memory).memory
    tasks = ecs.services["g-prefill"].tasks
    assert len(tasks) == count
    ecs.busy = {tasks[i].arn for i in busy if i < count}
    for _ in range(8):
        demand(0.0)
        before = {t.arn for t in ecs.services["g-prefill"].tasks}
        memory = run_pass(ecs, wanted, memory).memory
        left = {t.arn for t in ecs.services["g-prefill"].tasks}
        gone = before - left
        # While an idle one is there, no busy one goes.
        assert not gone & ecs.busy
    assert ecs.busy <= left
    assert len(left) == max(1, len(ecs.busy))
    ecs.busy = set()
    for _ in range(8):
        demand(0.0)
        memory = run_pass(ecs, wanted, memory).memory
    assert len(ecs.services["g-prefill"].tasks) == 1


def test_who_is_busy_may_not_be_known() -> None:
    wanted = graph(prefill=2)
    ecs, _ = converged(wanted)
    seen = replace(ecs.snapshot(), busy=Unknown("no frontend told"))
    unknown = observe_graph(wanted, seen)
    one = state_of(wanted.component("prefill"), unknown.components["prefill"])
    assert one.observed.busy is None
    assert protect_busy_tasks(context_of(unknown, one), one) == []
    known = observe_graph(wanted, replace(seen, busy={}))
    one = state_of(wanted.component("prefill"), known.components["prefill"], desired=2)
    assert one.observed.busy == frozenset()
    assert protect_busy_tasks(context_of(known, one), one) == []


# Progress deadline ---------------------------------------------------------------------------


def stalled(wanted: Graph, ecs: SimulatedEcs, age: float, event: str = "") -> Any:
    """decode rolls to a new revision whose task is not running, the old one still is."""
    edited = with_image(wanted, "decode", "dynamo:2")
    made = plan(edited, ecs.snapshot(), Memory(ecs.now), ecs.clock)
    for action in made.actions:
        ecs.apply(action)
    ecs.graph = edited
    seen = ecs.snapshot()
    service = seen.components["decode"].service
    assert isinstance(service, Service)
    (primary, *rest) = service.deployments
    if not rest:
        old = min(seen.components["decode"].revisions.values(), key=lambda r: r.number)
        rest = [replace(primary, id="old", status="ACTIVE", task_definition_arn=old.arn, running=1)]
    late = replace(primary, running=0, created_at=ecs.now - age, rollout_state="IN_PROGRESS")
    rolled = replace(
        service,
        deployments=(late, *(replace(d, running=1) for d in rest)),
        events=(event,) if event else (),
    )
    return edited, changed(seen, "decode", service=rolled)


def test_a_rollout_that_misses_its_deadline_is_taken_back_and_held() -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    edited, look = stalled(wanted, ecs, age=1801)
    made = plan(edited, look, Memory(ecs.now), ecs.clock)
    own = [a for a in made.actions if a.component == "decode"]
    assert [type(a) for a in own] == [TagService, UpdateService]
    assert is_hold(own[0])
    (update,) = (a for a in made.actions if isinstance(a, UpdateService))
    assert update.revision is not None
    assert update.revision.arn is not None
    assert update.revision.arn.endswith(":1")
    assert "was not running within 1800 s: back to g-decode:1" in made.failures["decode"]
    for action in made.actions:
        ecs.apply(action)
    for _ in range(10):
        made = run_pass(ecs, edited, Memory(ecs.now))  # a fresh daemon each time
    assert not made.actions
    assert "progress deadline" in made.failures["decode"]
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:1"


@pytest.mark.parametrize(
    ("age", "event"),
    [(1700, ""), (9999, "(service x) was unable to place a task because no container instance")],
)
def test_time_left_or_a_lack_of_capacity_is_waited_for(age: float, event: str) -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    edited, look = stalled(wanted, ecs, age, event)
    made = plan(edited, look, Memory(ecs.now), ecs.clock)
    assert not [a for a in made.actions if is_hold(a)]
    assert "decode" not in made.failures
