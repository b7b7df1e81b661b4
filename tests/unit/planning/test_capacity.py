"""Capacity, decided: what does not fit, what is raised, what goes back, and never too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.doctor.checks.capacity import check_capacity
from ecs_dynamo.model.capacity import (
    AutoScalingGroup,
    CapacityProvider,
    GroupInstance,
    InstanceSize,
)
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.doctor import Severity
from ecs_dynamo.model.ecs.constraint_expressions import (
    EC2_INSTANCE_ID,
    UnknownExpression,
    holds,
    instances_of,
    parse_expression,
)
from ecs_dynamo.model.graph import TAG_GRAPH, Component, Graph, Role
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.plan import (
    AnyAction,
    CreateService,
    Memory,
    SetDesiredCapacity,
    SetInstancesState,
    TerminateInstance,
    UpdateService,
)
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import PlacementStrategy, ServiceSettings, difference
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    ContainerInstance,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.model.spec.capacity import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
    PlacementConstraintSpec,
    PlacementSpec,
)
from ecs_dynamo.planning import describe, down, plan
from ecs_dynamo.planning.capacity.packing import allocatable_of, pack, resource_request
from ecs_dynamo.planning.capacity.plan import (
    CapacityPlan,
    plan_capacity,
)
from ecs_dynamo.planning.capacity.shortage import missing_requests
from ecs_dynamo.planning.capacity.surge import free_capacity, surge_fits, why_no_surge
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import (
    DISTINCT,
    default_strategy,
    distribute,
    placement_constraints,
)
from ecs_dynamo.planning.desired.ports import plan_ports
from tests.helpers.facts import state_of
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    template,
)

SMALL = InstanceSize("g5.xlarge", 1, 4096, 15_000)
LARGE = InstanceSize("g5.12xlarge", 4, 49_152, 180_000)
NOW = 10_000.0


def instance(
    number: int, size: InstanceSize = SMALL, used: int = 0, **changes: Any
) -> ContainerInstance:
    attributes = {"ecs.instance-type": size.instance_type, "ecs.availability-zone": "a"}
    base = ContainerInstance(
        arn=f"arn:ci/{number}",
        ec2_instance_id=f"i-{number}",
        status="ACTIVE",
        agent_connected=True,
        private_ip=None,
        instance_type=size.instance_type,
        gpus=size.gpus,
        gpus_free=size.gpus - used,
        cpu=size.cpu,
        cpu_free=size.cpu,
        memory=size.memory,
        memory_free=size.memory - 1000 * used,
        tasks=used,
        attributes=attributes,
    )
    return replace(base, **changes)


def task(name: str, on: str | None = None, **changes: Any) -> Task:
    base = Task(
        arn=f"arn:task/{name}",
        task_definition_arn="arn:td",
        last_status="RUNNING" if on else "PROVISIONING",
        desired_status="RUNNING",
        container_instance_arn=on,
    )
    return replace(base, **changes)


def worker(gpus: int = 1, name: str = "decode", **changes: Any) -> Component:
    content = template(name, "awsvpc", gpus=gpus)
    return component(name, Role.DECODE, template=content, **changes)


def wanted(
    one: Component, desired: int, *tasks: Task, stopped: tuple[Task, ...] = ()
) -> ComponentState:
    seen = ComponentSnapshot(service=None, tasks=tasks, stopped=stopped)
    return state_of(one, seen, desired=desired)


def snapshot(*instances: ContainerInstance, **changes: Any) -> Snapshot:
    base = Snapshot("g", NOW, {}, container_instances={"gpu": instances})
    return replace(base, **changes)


def declared(*, least: int = 0, most: int = 4, window: float = 100.0) -> Graph:
    capacity = CapacitySpec(
        auto_scaling_groups=(AutoScalingGroupSpec(name="asg", cluster="gpu", min=least, max=most),),
        scale_in_seconds=window,
    )
    return replace(graph(), capacity=capacity)


def group(
    *members: ContainerInstance, desired: int | None = None, **changes: Any
) -> Mapping[str, AutoScalingGroup]:
    base = AutoScalingGroup(
        "asg",
        desired if desired is not None else len(members),
        0,
        10,
        tuple(GroupInstance(m.ec2_instance_id, "InService", "a") for m in members),
        sizes=(SMALL,),
    )
    return {"asg": replace(base, **changes)}


def decide(
    base: Graph, seen: Snapshot, *ones: ComponentState, before: CapacityMemory | None = None
) -> CapacityPlan:
    apart = plan_ports(base).distinct_instances
    placed = [replace(w, one_per_instance=w.component.name in apart) for w in ones]
    return plan_capacity(base, seen, placed, before or CapacityMemory(), NOW)


def only(made: CapacityPlan, kind: type[Any]) -> Any:
    (found,) = (a for a in made.actions if isinstance(a, kind))
    return found


# Shortages -------------------------------------------------------------------------------------


def test_two_instances_with_a_free_gpu_each_do_not_hold_a_replica_with_two() -> None:
    seen = snapshot(instance(1), instance(2), instance(3, LARGE, used=3))
    made = decide(graph(), seen, wanted(worker(gpus=2), 2))
    short = made.shortages["decode"]
    assert (short.replicas, short.gpus, short.instance_types) == (2, 2, ("g5.12xlarge",))
    assert short.message.startswith("2 of 2 replicas do not fit (2 GPU slots each): GPU on 3")
    assert "free slots: 1, 1, 1" in short.message
    assert "g5.12xlarge would fit" in short.message
    assert not made.actions


def test_what_runs_counts_and_stopping_tasks_give_back_what_they_hold() -> None:
    full = snapshot(instance(1, used=1), instance(2, used=1))
    running = task("a", "arn:ci/1")
    assert decide(graph(), full, wanted(worker(), 1, running)).shortages == {}
    assert decide(graph(), full, wanted(worker(), 2, running)).shortages["decode"].replicas == 1
    going = task("b", "arn:ci/2", desired_status="STOPPED", last_status="DEACTIVATING")
    one = wanted(worker(), 2, running, stopped=(going,))
    assert decide(graph(), full, one).shortages == {}


def test_instances_that_ecs_places_nothing_on_are_no_room() -> None:
    draining = instance(1, status="DRAINING")
    lost = instance(2, agent_connected=False)
    made = decide(graph(), snapshot(draining, lost), wanted(worker(), 1))
    assert "no active instance" in made.shortages["decode"].message
    unknown = snapshot(container_instances={"gpu": Unknown("throttled")})
    assert decide(graph(), unknown, wanted(worker(), 9)).shortages == {}


def test_what_runs_on_a_draining_instance_needs_another_place() -> None:
    draining = instance(1, used=1, status="DRAINING")
    one = wanted(worker(), 1, task("a", "arn:ci/1"))
    assert decide(graph(), snapshot(draining, instance(2)), one).shortages == {}
    made = decide(declared(), snapshot(draining, groups=group()), one)
    assert only(made, SetDesiredCapacity).desired == 1


def test_a_surge_counts_on_its_own_providers_and_on_what_they_add() -> None:
    spot = worker(capacity_providers=(CapacityProviderItem(name="spot"),))
    free = free_capacity(snapshot(instance(1), instance(2, capacity_provider="spot")))
    assert surge_fits(wanted(worker(), 1), 2, free)
    assert surge_fits(wanted(spot, 1), 1, free)
    assert not surge_fits(wanted(spot, 1), 2, free)
    adds = {"spot": CapacityProvider("spot", "ACTIVE", "EC2_AUTOSCALING", "g", True)}
    free = free_capacity(snapshot(instance(1, used=1), providers=adds))
    assert surge_fits(wanted(spot, 1), 5, free)
    assert not surge_fits(wanted(worker(), 1), 1, free)


def test_a_surge_needs_ports_memory_and_an_instance_of_its_own_too() -> None:
    content = template("frontend", "host")
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 8000}]
    frontend = replace(graph().component("frontend"), template=content)
    busy = instance(1, used_ports=frozenset({8000}))
    free = free_capacity(snapshot(busy))
    assert not surge_fits(wanted(frontend, 1), 1, free)
    assert why_no_surge(wanted(frontend, 1), free) == "host port on 1 instance"
    assert surge_fits(wanted(frontend, 1), 1, free_capacity(snapshot(busy, instance(2))))
    assert not surge_fits(wanted(frontend, 1), 2, free_capacity(snapshot(busy, instance(2))))

    small = free_capacity(snapshot(instance(1, memory_free=8)))
    assert why_no_surge(wanted(worker(), 1), small) == "memory on 1 instance"

    alone = replace(wanted(frontend, 1), one_per_instance=True)
    there = ComponentSnapshot(service=None, tasks=(task("a", "arn:ci/2"),))
    seen = snapshot(instance(2), components={"frontend": there})
    assert why_no_surge(alone, free_capacity(seen)) == "one replica per instance on 1 instance"


def test_all_gpus_of_an_instance_and_shares_of_one() -> None:
    def asks(value: str) -> ComponentState:
        content = template("decode", "awsvpc", gpus=1)
        content["containerDefinitions"][0]["resourceRequirements"][0]["value"] = value
        return wanted(replace(worker(), template=content), 1)

    whole, taken = instance(1, gpus=4, gpus_free=4), instance(2, gpus=4, gpus_free=3)
    assert surge_fits(asks("ALL"), 1, free_capacity(snapshot(whole, taken)))
    assert not surge_fits(asks("ALL"), 2, free_capacity(snapshot(whole, taken)))
    assert not surge_fits(asks("ALL"), 1, free_capacity(snapshot(instance(3, gpus=0, gpus_free=0))))
    assert surge_fits(asks("0.25"), 1, free_capacity(snapshot(instance(1))))
    assert not surge_fits(asks("0.25"), 1, free_capacity(snapshot(instance(1, used=1))))
    # A foreign revision must never end a pass.
    assert surge_fits(asks("two"), 1, free_capacity(snapshot(instance(1))))
    made = decide(graph(), snapshot(taken), asks("ALL"))
    assert "all GPUs of an instance each" in made.shortages["decode"].message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cpu_free": 10}, "CPU"),
        ({"memory_free": 10}, "memory"),
        ({"used_ports": frozenset({8000})}, "host port"),
        ({"attributes": {}}, "placement constraint"),
        ({"ec2_instance_id": "i-2"}, "placement constraint"),
    ],
)
def test_each_resource_and_constraint_is_named(change: dict[str, Any], reason: str) -> None:
    content = template("front", "host")
    content["containerDefinitions"][0] |= {
        "cpu": 512,
        "memory": 2048,
        "memoryReservation": 1024,
        "portMappings": [{"containerPort": 8000}],
    }
    content["placementConstraints"] = [
        {"type": "memberOf", "expression": "attribute:ecs.instance-type =~ g5.*"},
        {"type": "memberOf", "expression": "ec2InstanceId == i-1"},
    ]
    front = component("front", Role.FRONTEND, mode="host", template=content)
    base = replace(graph(), components=(front,))
    assert decide(base, snapshot(instance(1)), wanted(front, 1)).shortages == {}
    made = decide(base, snapshot(instance(1, **change)), wanted(front, 1))
    assert f"{reason} on 1 instance" in made.shortages["front"].message
    # In host mode frontends are placed one per instance.
    there = task("x", "arn:ci/1")
    made = decide(base, snapshot(instance(1)), wanted(front, 2, there))
    assert "one replica per instance" in made.shortages["front"].message


def test_fargate_is_never_short_in_advance_and_managed_instances_are_raised() -> None:
    managed = worker(capacity_providers=(CapacityProviderItem(name="mi"),))
    providers = {"mi": CapacityProvider("mi", "ACTIVE", "MANAGED_INSTANCES")}
    seen = snapshot(providers=providers)
    assert decide(graph(), seen, wanted(managed, 3)).shortages["decode"].raising == (
        "ECS adds instances through mi"
    )
    infra = graph().components[0]
    assert decide(graph(), snapshot(), wanted(infra, 1)).shortages == {}


def test_a_replica_only_counts_on_instances_of_its_capacity_provider() -> None:
    spot = worker(capacity_providers=(CapacityProviderItem(name="spot"),))
    mine, other = instance(1, capacity_provider="spot"), instance(2)
    assert decide(graph(), snapshot(mine, other), wanted(spot, 1)).shortages == {}
    made = decide(graph(), snapshot(mine, other), wanted(spot, 2))
    assert "capacity provider on 1 instance" in made.shortages["decode"].message
    waiting = task("w", capacity_provider="gone")
    (need,) = missing_requests(wanted(spot, 1, waiting))
    assert need.providers == frozenset({"gone"})


def test_numbers_of_task_definitions_in_every_form() -> None:
    content = {"cpu": "1 vCPU", "memory": "2 GB", "containerDefinitions": [{"name": "a"}]}
    need = resource_request("a", content)
    assert (need.cpu, need.memory) == (1024, 2048)
    bridge = {
        "containerDefinitions": [
            {"name": "a", "memory": 64, "portMappings": [{"containerPort": 1, "hostPort": 2}]}
        ]
    }
    assert resource_request("a", bridge).ports == {2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("attribute:x == a", True),
        ("attribute:x != a", False),
        ('attribute:x =~ "[a-c]"', True),
        ("attribute:x =~ b.*", False),
        ("attribute:x in [b, a]", True),
        ("attribute:x not_in [a]", False),
        ("attribute:y exists", False),
        ("attribute:y !exists", True),
        ('not(attribute:x == "a") or attribute:x exists', True),
        ("attribute:x == b || attribute:x == a && attribute:y exists", False),
        ("(attribute:x == b or attribute:x == a) and !(attribute:y exists)", True),
        ("ec2InstanceId == i-1", True),
        ("ec2InstanceId == 'i-2'", False),
        ("ec2InstanceId in ['i-2', \"i-1\"]", True),
        ("attribute:ec2InstanceId == i-1", False),
    ],
)
def test_expressions(text: str, expected: bool) -> None:
    assert parse_expression(text)({"x": "a", EC2_INSTANCE_ID: "i-1"}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ec2InstanceId == i-1", {"i-1"}),
        ("ec2InstanceId in ['i-1', i-2]", {"i-1", "i-2"}),
        ("ec2InstanceId == i-1 or ec2InstanceId equals i-2", {"i-1", "i-2"}),
        ("ec2InstanceId in [i-1, i-2] and ec2InstanceId in [i-2, i-3]", {"i-2"}),
        ("attribute:x == a and (ec2InstanceId == i-1)", {"i-1"}),
        ("ec2InstanceId == i-1 or attribute:x == a", None),
        ("ec2InstanceId != i-1", None),
        ("ec2InstanceId not_in [i-1]", None),
        ("not ec2InstanceId == i-1", None),
        ("ec2InstanceId =~ i-1", None),
        ("attribute:ec2InstanceId == i-1", None),
        ("ec2InstanceId == i-1 and agentConnected == true", None),
    ],
)
def test_the_only_instances_that_meet_an_expression(text: str, expected: set[str] | None) -> None:
    assert instances_of(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "agentConnected == true", "attribute:x", "attribute:x == a b", "attribute:x in [a", "("],
)
def test_what_can_not_be_decided_is_left_to_ecs(text: str) -> None:
    with pytest.raises(UnknownExpression):
        parse_expression(text)
    assert holds(text, {})


@given(st.text(alphabet="attribute:xyz =!~[](),&|ndor\"'", max_size=40))
def test_no_expression_breaks_the_parser(text: str) -> None:
    assert holds(text, {"x": "a"}) in (True, False)


# Raising ---------------------------------------------------------------------------------------


def test_the_group_is_raised_by_just_what_is_missing_and_the_message_says_so() -> None:
    members = (instance(1, used=1), instance(2))
    seen = snapshot(*members, groups=group(*members))
    made = decide(declared(), seen, wanted(worker(), 3, task("a", "arn:ci/1")))
    action = only(made, SetDesiredCapacity)
    assert (action.group, action.desired) == ("asg", 3)
    assert made.shortages["decode"].raising == "asg 2 -> 3"


def test_never_above_the_maximum_and_what_is_left_is_told() -> None:
    seen = snapshot(groups=group())
    made = decide(declared(most=2), seen, wanted(worker(), 5))
    assert only(made, SetDesiredCapacity).desired == 2
    bounded = group(desired=2, max_size=2)
    made = decide(declared(most=9), snapshot(groups=bounded), wanted(worker(), 5))
    assert not made.actions
    at_most = group(instance(1, used=1), desired=1)
    made = decide(
        declared(most=1), snapshot(instance(1, used=1), groups=at_most), wanted(worker(), 1)
    )
    assert "asg is at its maximum 1" in made.shortages["decode"].message


def test_instances_on_their_way_count_as_room_and_warm_ones_do_not() -> None:
    coming = group(desired=2, warm=3)
    made = decide(declared(), snapshot(groups=coming), wanted(worker(), 2))
    assert not made.actions
    assert made.shortages["decode"].raising == "2 instances of asg are starting"
    made = decide(declared(), snapshot(groups=coming), wanted(worker(), 3))
    assert only(made, SetDesiredCapacity).desired == 3
    assert "1 of them from its warm pool" in (made.shortages["decode"].raising or "")


def test_an_instance_that_never_joins_is_not_waited_for_for_ever() -> None:
    stray = instance(1)
    seen = snapshot(groups=group(stray))
    first = decide(declared(), seen, wanted(worker(), 1))
    assert not first.actions
    assert first.memory.unjoined_since == {"i-1": NOW}
    old = CapacityMemory(unjoined_since={"i-1": NOW - 1000})
    made = decide(declared(), seen, wanted(worker(), 1), before=old)
    assert only(made, SetDesiredCapacity).desired == 2
    assert "i-1 did not join cluster gpu" in made.notes[0]


def test_instances_that_would_not_help_are_not_added() -> None:
    made = decide(declared(), snapshot(groups=group()), wanted(worker(gpus=2), 1))
    assert not made.actions
    assert "none of the declared groups" in made.shortages["decode"].message
    unknown_size = group(sizes=())
    assert not decide(declared(), snapshot(groups=unknown_size), wanted(worker(), 1)).actions
    seen = snapshot(groups=Unknown("throttled"))
    made = decide(declared(), seen, wanted(worker(), 1))
    assert (made.actions, made.notes) == (
        (),
        ("Auto Scaling groups could not be observed: throttled",),
    )
    assert "does not exist" in decide(declared(), snapshot(groups={}), wanted(worker(), 1)).notes[0]


def test_a_group_that_ecs_sizes_is_left_alone() -> None:
    provider = CapacityProvider("p", "ACTIVE", "EC2_AUTOSCALING", "asg", managed_scaling=True)
    seen = snapshot(groups=group(), providers={"p": provider})
    made = decide(declared(least=1), seen, wanted(worker(), 1))
    assert not made.actions
    assert "left alone" in made.notes[0]
    by_hand = replace(provider, managed_scaling=False)
    seen = snapshot(groups=group(), providers={"p": by_hand})
    lost = worker(capacity_providers=(CapacityProviderItem(name="q"),))
    assert "q is not one of cluster gpu" in decide(declared(), seen, wanted(lost, 0)).notes[0]
    one = worker(capacity_providers=(CapacityProviderItem(name="p"),))
    assert only(decide(declared(), seen, wanted(one, 1)), SetDesiredCapacity).desired == 1


def test_a_group_is_not_sized_while_it_is_unknown_who_sizes_it() -> None:
    for seen in (
        snapshot(groups=group(), providers=Unknown("throttled")),
        snapshot(instance(1), groups=group(instance(1)), providers=Unknown("throttled")),
    ):
        made = decide(declared(least=1), seen, wanted(worker(), 1), before=RIPE)
        assert not made.actions
        assert any("ECS may size them" in note and "throttled" in note for note in made.notes)


def test_the_minimum_is_kept_and_a_constraint_is_counted_on_only_where_all_members_meet_it() -> (
    None
):
    assert (
        only(decide(declared(least=2), snapshot(groups=group())), SetDesiredCapacity).desired == 2
    )
    blue = PlacementSpec(
        constraints=(PlacementConstraintSpec(type="memberOf", expression="attribute:pool == blue"),)
    )
    one = wanted(worker(placement=blue), 2, task("a", "arn:ci/1"))
    full = instance(1, used=1)
    assert not decide(declared(), snapshot(full, groups=group(full)), one).actions
    blue_one = replace(full, attributes={**full.attributes, "pool": "blue"})
    made = decide(declared(), snapshot(blue_one, groups=group(blue_one)), one)
    assert only(made, SetDesiredCapacity).desired == 2


# Releasing instances ---------------------------------------------------------------------------

RIPE = CapacityMemory({"arn:ci/1": NOW - 200, "arn:ci/2": NOW - 200})


def test_an_empty_instance_is_drained_after_the_window_and_a_busy_one_never() -> None:
    idle, busy = instance(1), instance(2, used=1)
    seen = snapshot(idle, busy, groups=group(idle, busy))
    one = wanted(worker(), 1, task("a", "arn:ci/2"))
    made = decide(declared(), seen, one)
    assert not made.actions
    assert made.memory.empty_since == {"arn:ci/1": NOW}
    action = only(decide(declared(), seen, one, before=RIPE), SetInstancesState)
    assert (action.instances, action.status) == (("arn:ci/1",), "DRAINING")
    # Daemons keep nothing, what is stopping does.
    daemon = instance(1, tasks=1, daemons=1, memory_free=100)
    stopping = instance(1, memory_free=100)
    for other, drained in ((daemon, 1), (stopping, 0)):
        seen = snapshot(other, busy, groups=group(other, busy))
        assert len(decide(declared(), seen, one, before=RIPE).actions) == drained


def in_zones(*members: tuple[ContainerInstance, str]) -> Mapping[str, AutoScalingGroup]:
    """The group with members in Availability Zones."""
    placed = tuple(GroupInstance(m.ec2_instance_id, "InService", zone) for m, zone in members)
    return group(*(m for m, _ in members), instances=placed, zones=("a", "b"))


def test_instances_go_back_from_the_zone_that_has_most() -> None:
    one, two, three = (instance(n) for n in (1, 2, 3))
    ripe = CapacityMemory({f"arn:ci/{n}": NOW - 300 + n for n in (1, 2, 3)})
    seen = snapshot(one, two, three, groups=in_zones((one, "a"), (two, "b"), (three, "b")))
    # The first has been empty for longest, but zone b would be left with two to one's none.
    made = decide(declared(least=2), seen, before=ripe)
    assert only(made, SetInstancesState).instances == ("arn:ci/2",)
    made = decide(declared(least=1), seen, before=ripe)
    assert only(made, SetInstancesState).instances == ("arn:ci/2", "arn:ci/1")
    # An instance that drains already is no longer counted.
    leaving = replace(two, status="DRAINING", tags={TAG_GRAPH: "g"}, tasks=1)
    seen = snapshot(one, leaving, three, groups=in_zones((one, "a"), (leaving, "b"), (three, "b")))
    made = decide(declared(least=1), seen, before=ripe)
    assert only(made, SetInstancesState).instances == ("arn:ci/1",)


def test_zones_that_are_evened_out_are_told_by_doctor() -> None:
    base = declared()
    wide = group(zones=("a", "b"))
    (warning,) = (
        f for f in check_capacity(base, snapshot(groups=wide)) if f.severity is Severity.WARNING
    )
    assert "evens them out" in warning.evidence
    assert "AZRebalance" in (warning.remedy or "")
    for fine in (
        group(zones=("a",)),
        group(zones=("a", "b"), suspended=frozenset({"AZRebalance"})),
    ):
        found = check_capacity(base, snapshot(groups=fine))
        assert {f.severity for f in found} == {Severity.OK}


def test_a_drained_instance_is_terminated_only_when_empty_and_above_the_minimum() -> None:
    mine = {TAG_GRAPH: "g"}
    leaving = instance(1, status="DRAINING", tags=mine)
    seen = snapshot(leaving, groups=group(leaving))
    action = only(decide(declared(), seen), TerminateInstance)
    assert (action.group, action.ec2_instance_id, action.floor) == ("asg", "i-1", 0)
    busy = replace(leaving, tasks=1)
    made = decide(declared(), snapshot(busy, groups=group(busy)))
    assert (made.actions, made.waits[0].reason) == ((), "i-1 drains")
    kept = decide(declared(least=1), seen)
    assert only(kept, SetInstancesState).status == "ACTIVE"
    # Somebody else drained it.
    theirs = replace(leaving, tags={})
    assert not decide(declared(), snapshot(theirs, groups=group(theirs))).actions


def test_what_was_to_go_back_is_kept_when_it_is_needed() -> None:
    leaving = instance(1, status="DRAINING", tags={TAG_GRAPH: "g"})
    made = decide(declared(), snapshot(leaving, groups=group(leaving)), wanted(worker(), 1))
    action = only(made, SetInstancesState)
    assert (action.instances, action.status) == (("arn:ci/1",), "ACTIVE")
    assert len(made.actions) == 1


def test_nothing_goes_back_while_a_replica_needs_it_or_has_no_place() -> None:
    idle = instance(1)
    seen = snapshot(idle, groups=group(idle))
    assert not decide(declared(), seen, wanted(worker(), 1), before=RIPE).actions
    big = wanted(worker(gpus=4, name="big"), 1)
    assert not decide(declared(), seen, big, before=RIPE).actions
    coming = snapshot(idle, groups=group(idle, desired=2))
    assert not decide(declared(), coming, before=RIPE).actions


# A small world: the group, its instances, ECS that places -------------------------------------


@dataclass
class World:
    """Instances boot a step after they were asked for; ECS places what fits, whichever way."""

    base: Graph
    gpus: int
    desired: int = 0
    joined: list[ContainerInstance] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    now: float = NOW
    number: int = 0
    memory: CapacityMemory = field(default_factory=CapacityMemory)
    highest: int = 0

    def snapshot(self) -> Snapshot:
        state = AutoScalingGroup(
            "asg",
            self.desired,
            0,
            10,
            tuple(GroupInstance(i.ec2_instance_id, "InService") for i in self.joined),
            sizes=(SMALL,),
        )
        return snapshot(*self.joined, groups={"asg": state}, observed_at=self.now)

    def on(self, arn: str) -> int:
        return sum(t.container_instance_arn == arn for t in self.tasks.values())

    def refresh(self) -> None:
        self.joined = [
            replace(
                i,
                tasks=self.on(i.arn),
                gpus_free=i.gpus - self.on(i.arn) * self.gpus,
                memory_free=i.memory - self.on(i.arn) * 64,
            )
            for i in self.joined
        ]

    def step(self, replicas: int, restart: bool) -> list[AnyAction]:
        if restart:
            self.memory = CapacityMemory()
        while len(self.joined) < self.desired:
            self.number += 1
            self.joined.append(instance(self.number))
        for name in sorted(self.tasks)[replicas:]:
            del self.tasks[name]
        self.refresh()
        for name in (f"t{n}" for n in range(replicas)):
            if name in self.tasks:
                continue
            place = next(
                (i for i in self.joined if i.status == "ACTIVE" and i.gpus_free >= self.gpus), None
            )
            if place is not None:
                self.tasks[name] = task(name, place.arn)
                self.refresh()
        self.now += 10
        one = wanted(worker(gpus=self.gpus), replicas, *self.tasks.values())
        made = plan_capacity(self.base, self.snapshot(), (one,), self.memory, self.now)
        self.memory = made.memory
        for action in (*made.actions, *made.actions):  # Each twice: nothing is doubled.
            self.apply(action)
        self.refresh()
        return [*made.actions]

    def apply(self, action: AnyAction) -> None:
        spec = self.base.capacity.auto_scaling_groups[0]
        match action:
            case SetDesiredCapacity():
                assert action.desired <= spec.max
                self.desired = max(self.desired, action.desired)
                self.highest = max(self.highest, self.desired)
            case SetInstancesState():
                self.joined = [
                    replace(i, status=action.status, tags={TAG_GRAPH: "g"})
                    if i.arn in action.instances
                    else i
                    for i in self.joined
                ]
            case TerminateInstance():
                gone = [i for i in self.joined if i.arn == action.instance]
                assert all(self.on(i.arn) == 0 for i in gone), "an instance with a task was ended"
                if gone:
                    assert self.desired > spec.min
                    self.joined.remove(gone[0])
                    self.desired -= 1


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30),
    least=st.integers(0, 2),
    room=st.integers(0, 4),
)
def test_bounds_hold_no_task_is_ended_and_it_settles(
    steps: list[tuple[int, bool]], least: int, room: int
) -> None:
    most = max(1, least + room)
    world = World(declared(least=least, most=most, window=30.0), gpus=1)
    for replicas, restart in steps:
        world.step(replicas, restart)
        assert world.desired <= most
        assert world.desired <= max(least, max(r for r, _ in steps))
    last = steps[-1][0]
    for _ in range(20):
        actions = world.step(last, restart=False)
    assert actions == []
    assert world.desired == max(least, min(most, last))
    assert len(world.tasks) == min(most, last)


# Capacity providers and placement --------------------------------------------------------------


@given(
    weights=st.lists(st.integers(0, 10), min_size=1, max_size=4).filter(any),
    base=st.integers(0, 5),
    count=st.integers(0, 60),
)
def test_replicas_are_split_by_base_and_weight(weights: list[int], base: int, count: int) -> None:
    strategy = tuple(
        CapacityProviderItem(name=f"p{n}", weight=w, base=base if n == 0 else 0)
        for n, w in enumerate(weights)
    )
    chosen = distribute(strategy, {}, count)
    assert len(chosen) == count
    assert chosen[: min(base, count)] == ["p0"] * min(base, count)
    rest, total = max(0, count - base), sum(weights)
    for number, weight in enumerate(weights):
        own = chosen[base:].count(f"p{number}")
        assert abs(own - rest * weight / total) <= len(weights)
        assert weight or own == 0


def test_default_placement_spreads_frontends_and_packs_workers() -> None:
    seen = snapshot()
    front = default_strategy(graph().component("frontend"), seen)
    assert [(s.type, s.field) for s in front or ()] == [
        ("spread", "attribute:ecs.availability-zone"),
        ("spread", "instanceId"),
    ]
    packed = default_strategy(worker(), seen) or ()
    assert [s.type for s in packed] == ["spread", "binpack"]
    assert default_strategy(graph().component("etcd-nats"), seen) is None
    one = worker(capacity_providers=(CapacityProviderItem(name="p"),))
    assert default_strategy(one, seen) is None  # not known yet what it is
    for kind, expected in (("EC2_AUTOSCALING", packed), ("MANAGED_INSTANCES", None)):
        providers = {"p": CapacityProvider("p", "ACTIVE", kind)}
        assert default_strategy(one, snapshot(providers=providers)) == expected
    own = worker(placement=PlacementSpec(strategy=()))
    assert own.settings.placement_strategy == ()
    constraints = placement_constraints(worker(), one_per_instance=True) or ()
    assert [c.type for c in constraints] == ["distinctInstance"]


def service(**changes: Any) -> Service:
    base = Service("arn:s", "g-decode", "gpu", "ACTIVE", 1, 1, 0, "arn:td")
    return replace(base, **changes)


def test_what_ecs_writes_otherwise_is_no_difference() -> None:
    zones = PlacementStrategy("spread", "attribute:ecs.availability-zone")
    packed = ServiceSettings(
        placement_strategy=default_strategy(worker(), snapshot()),
        placement_constraints=placement_constraints(worker(), one_per_instance=True),
    )

    def observed(*strategy: PlacementStrategy, constraints: Any = (DISTINCT,)) -> ServiceSettings:
        return ServiceSettings(placement_strategy=strategy, placement_constraints=constraints)

    same = observed(zones, PlacementStrategy("binpack", "MEMORY"))
    assert difference(same, packed) == ServiceSettings()
    others = [(PlacementStrategy("binpack", "memory"), zones), ()]
    for strategy in others:
        changes = difference(observed(*strategy), packed)
        assert changes == packed.only(["placement_strategy"])
    without = observed(*(packed.placement_strategy or ()), constraints=())
    assert difference(without, packed) == packed.only(["placement_constraints"])


def test_the_packing_prefers_the_tightest_room() -> None:
    rooms = [allocatable_of(instance(1, LARGE), {}), allocatable_of(instance(2), {})]
    need = resource_request("a", template("a", "awsvpc", gpus=1))
    packing = pack([need], rooms)
    assert packing.used == {"arn:ci/2"}
    assert packing.unplaced == ()


# In the whole plan -----------------------------------------------------------------------------


def test_the_plan_says_what_does_not_fit_before_anything_is_created() -> None:
    base = graph(decode=3)
    seen = Snapshot(
        "g",
        NOW,
        {c.name: ComponentSnapshot(service=None) for c in base.components},
        clusters={"gpu": True, "fargate": True},
        container_instances={"gpu": (instance(1), instance(2), instance(3))},
    )
    made = plan(base, seen, Memory(started_at=NOW), Now.at(NOW))
    (short,) = made.shortages
    assert short.replicas == 1
    assert f"short: {short.component}: {short.message}" in describe(made)
    (condition,) = (
        c for c in made.conditions if c.type is ConditionType.CAPACITY_SHORT and c.status
    )
    assert (condition.component, condition.reason) == (short.component, "DoesNotFit")


def test_ecs_own_words_are_told_apart() -> None:
    base = replace(graph(), components=(graph().components[0], worker(name="decode")))
    words = "(service g-decode) was unable to place a task because ..."
    own = service(
        desired=1, running=0, events=(words,), tags={TAG_GRAPH: "g"}, task_definition_arn="arn:td"
    )
    seen = Snapshot(
        "g",
        NOW,
        {
            "etcd-nats": ComponentSnapshot(service=None),
            "decode": ComponentSnapshot(service=own),
        },
        clusters={"gpu": True, "fargate": True},
        container_instances={"gpu": (instance(1, used=1),)},
    )
    # Its revision cannot be read, so it is left alone; ECS's event is reported all the same.
    made = plan(base, seen, Memory(started_at=NOW), Now.at(NOW))
    found = {c.component: c for c in made.conditions if c.type is ConditionType.CAPACITY_SHORT}
    assert (found["decode"].reason, found["decode"].message) == ("NoPlace", words)


def test_another_provider_strategy_rolls_with_a_forced_deployment() -> None:
    from tests.helpers.convergence import converge
    from tests.helpers.simulated_ecs import SimulatedEcs

    base = graph()
    ecs = SimulatedEcs(base)
    memory = converge(ecs, base, Memory(started_at=ecs.now)).memory
    spot = (CapacityProviderItem(name="spot"),)
    changed = tuple(
        redeclared(c, capacity_providers=spot) if c.name == "decode" else c for c in base.components
    )
    made = plan(replace(base, components=changed), ecs.snapshot(), memory, ecs.clock)
    (update,) = (a for a in made.actions if isinstance(a, UpdateService))
    assert (update.component, update.settings.capacity_providers) == ("decode", spot)
    assert "capacity providers differ" in update.reason
    assert not any(isinstance(a, CreateService) for a in made.actions)


def test_down_tells_what_is_left() -> None:
    base = declared()
    parts = {c.name: ComponentSnapshot(service=None) for c in base.components}
    made = down(base, snapshot(components=parts, groups=group(desired=2)))
    assert made.notes == ("Auto Scaling group asg keeps its 2 instances: set its size yourself",)


def test_doctor_knows_providers_and_groups() -> None:
    one = worker(
        capacity_providers=(CapacityProviderItem(name="mi"), CapacityProviderItem(name="none"))
    )
    base = replace(declared(most=20), components=(one,))
    providers = {
        "mi": CapacityProvider("mi", "ACTIVE", "MANAGED_INSTANCES"),
    }
    found = list(check_capacity(base, snapshot(providers=providers, groups=group())))
    texts = [f"{f.severity}: {f.evidence}" for f in found]
    assert texts == [
        "ok: capacity provider mi (MANAGED_INSTANCES)",
        "error: capacity provider none is not one of cluster gpu",
        "warning: Auto Scaling group asg: 0 of 0 to 20; its own bounds, 0 to 10, apply as well",
    ]
    gone = list(check_capacity(base, snapshot(providers=Unknown("x"), groups={})))
    assert [str(f.severity) for f in gone] == ["unknown", "error"]
