"""Declared Auto Scaling groups: raised and reduced."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.doctor.checks.capacity import check_capacity
from ecs_dynamo.model.capacity import (
    CapacityProvider,
)
from ecs_dynamo.model.doctor import Severity
from ecs_dynamo.model.graph import TAG_GRAPH
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.plan import (
    SetDesiredCapacity,
    SetInstancesState,
    TerminateInstance,
)
from ecs_dynamo.model.snapshot import (
    Unknown,
)
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
    PlacementConstraintSpec,
    PlacementSpec,
)
from tests.helpers.capacity import (
    NOW,
    RIPE,
    decide,
    declared,
    declared_graph,
    group,
    in_zones,
    instance,
    only,
    snapshot,
    task,
    worker,
)


def test_the_group_is_raised_by_just_what_is_missing_and_the_message_says_so() -> None:
    members = (instance(1, used=1), instance(2))
    observed = snapshot(*members, groups=group(*members))
    result = decide(declared(), observed, declared_graph(worker(), 3, task("a", "arn:ci/1")))
    action = only(result, SetDesiredCapacity)
    assert (action.group, action.desired) == ("asg", 3)
    assert result.shortages["decode"].raising == "asg 2 -> 3"


def test_never_above_the_maximum_and_what_is_left_is_reported() -> None:
    observed = snapshot(groups=group())
    result = decide(declared(most=2), observed, declared_graph(worker(), 5))
    assert only(result, SetDesiredCapacity).desired == 2
    bounded = group(desired=2, max_size=2)
    result = decide(declared(most=9), snapshot(groups=bounded), declared_graph(worker(), 5))
    assert not result.actions
    at_most = group(instance(1, used=1), desired=1)
    result = decide(
        declared(most=1), snapshot(instance(1, used=1), groups=at_most), declared_graph(worker(), 1)
    )
    assert "asg is at its maximum 1" in result.shortages["decode"].message


def test_instances_on_their_way_count_as_room_and_warm_ones_do_not() -> None:
    coming = group(desired=2, warm=3)
    result = decide(declared(), snapshot(groups=coming), declared_graph(worker(), 2))
    assert not result.actions
    assert result.shortages["decode"].raising == "2 instances of asg are starting"
    result = decide(declared(), snapshot(groups=coming), declared_graph(worker(), 3))
    assert only(result, SetDesiredCapacity).desired == 3
    assert "1 of them from its warm pool" in (result.shortages["decode"].raising or "")


def test_an_instance_that_never_joins_is_not_waited_for_indefinitely() -> None:
    stray = instance(1)
    observed = snapshot(groups=group(stray))
    first = decide(declared(), observed, declared_graph(worker(), 1))
    assert not first.actions
    assert first.memory.unjoined_since == {"i-1": NOW}
    old = CapacityMemory(unjoined_since={"i-1": NOW - 1000})
    result = decide(declared(), observed, declared_graph(worker(), 1), before=old)
    assert only(result, SetDesiredCapacity).desired == 2
    assert "i-1 did not join cluster gpu" in result.notes[0]


def test_instances_that_would_not_help_are_not_added() -> None:
    result = decide(declared(), snapshot(groups=group()), declared_graph(worker(gpus=2), 1))
    assert not result.actions
    assert "none of the declared groups" in result.shortages["decode"].message
    unknown_size = group(sizes=())
    assert not decide(
        declared(), snapshot(groups=unknown_size), declared_graph(worker(), 1)
    ).actions
    observed = snapshot(groups=Unknown("throttled"))
    result = decide(declared(), observed, declared_graph(worker(), 1))
    assert (result.actions, result.notes) == (
        (),
        ("Auto Scaling groups could not be observed: throttled",),
    )
    assert (
        "does not exist"
        in decide(declared(), snapshot(groups={}), declared_graph(worker(), 1)).notes[0]
    )


def test_a_group_that_ecs_sizes_is_left_alone() -> None:
    provider = CapacityProvider("p", "ACTIVE", "EC2_AUTOSCALING", "asg", managed_scaling=True)
    observed = snapshot(groups=group(), providers={"p": provider})
    result = decide(declared(least=1), observed, declared_graph(worker(), 1))
    assert not result.actions
    assert "left alone" in result.notes[0]
    by_hand = replace(provider, managed_scaling=False)
    observed = snapshot(groups=group(), providers={"p": by_hand})
    lost = worker(capacity_providers=(CapacityProviderItem(name="q"),))
    assert (
        "q is not one of cluster gpu"
        in decide(declared(), observed, declared_graph(lost, 0)).notes[0]
    )
    item = worker(capacity_providers=(CapacityProviderItem(name="p"),))
    assert (
        only(decide(declared(), observed, declared_graph(item, 1)), SetDesiredCapacity).desired == 1
    )


def test_a_group_is_not_sized_while_it_is_unknown_who_sizes_it() -> None:
    for observed in (
        snapshot(groups=group(), providers=Unknown("throttled")),
        snapshot(instance(1), groups=group(instance(1)), providers=Unknown("throttled")),
    ):
        result = decide(declared(least=1), observed, declared_graph(worker(), 1), before=RIPE)
        assert not result.actions
        assert any("ECS may size them" in note and "throttled" in note for note in result.notes)


def test_the_minimum_is_kept_and_a_constraint_is_counted_on_only_where_all_members_meet_it() -> (
    None
):
    assert (
        only(decide(declared(least=2), snapshot(groups=group())), SetDesiredCapacity).desired == 2
    )
    blue = PlacementSpec(
        constraints=(PlacementConstraintSpec(type="memberOf", expression="attribute:pool == blue"),)
    )
    item = declared_graph(worker(placement=blue), 2, task("a", "arn:ci/1"))
    full = instance(1, used=1)
    assert not decide(declared(), snapshot(full, groups=group(full)), item).actions
    blue_one = replace(full, attributes={**full.attributes, "pool": "blue"})
    result = decide(declared(), snapshot(blue_one, groups=group(blue_one)), item)
    assert only(result, SetDesiredCapacity).desired == 2


def test_an_empty_instance_is_drained_after_the_window_and_a_busy_one_never() -> None:
    idle, busy = instance(1), instance(2, used=1)
    observed = snapshot(idle, busy, groups=group(idle, busy))
    item = declared_graph(worker(), 1, task("a", "arn:ci/2"))
    result = decide(declared(), observed, item)
    assert not result.actions
    assert result.memory.empty_since == {"arn:ci/1": NOW}
    action = only(decide(declared(), observed, item, before=RIPE), SetInstancesState)
    assert (action.instances, action.status) == (("arn:ci/1",), "DRAINING")
    # Daemons keep nothing, what is stopping does.
    daemon = instance(1, tasks=1, daemons=1, memory_free=100)
    stopping = instance(1, memory_free=100)
    for other, drained in ((daemon, 1), (stopping, 0)):
        observed = snapshot(other, busy, groups=group(other, busy))
        assert len(decide(declared(), observed, item, before=RIPE).actions) == drained


def test_instances_go_back_from_the_zone_that_has_most() -> None:
    item, two, three = (instance(n) for n in (1, 2, 3))
    ripe = CapacityMemory({f"arn:ci/{n}": NOW - 300 + n for n in (1, 2, 3)})
    observed = snapshot(item, two, three, groups=in_zones((item, "a"), (two, "b"), (three, "b")))
    # The first has been empty for longest, but zone b would be left with two to one's none.
    result = decide(declared(least=2), observed, before=ripe)
    assert only(result, SetInstancesState).instances == ("arn:ci/2",)
    result = decide(declared(least=1), observed, before=ripe)
    assert only(result, SetInstancesState).instances == ("arn:ci/2", "arn:ci/1")
    # An instance that drains already is no longer counted.
    departing = replace(two, status="DRAINING", tags={TAG_GRAPH: "g"}, tasks=1)
    observed = snapshot(
        item, departing, three, groups=in_zones((item, "a"), (departing, "b"), (three, "b"))
    )
    result = decide(declared(least=1), observed, before=ripe)
    assert only(result, SetInstancesState).instances == ("arn:ci/1",)


def test_zones_that_are_evened_out_are_reported_by_doctor() -> None:
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
        matches = check_capacity(base, snapshot(groups=fine))
        assert {f.severity for f in matches} == {Severity.OK}


def test_a_drained_instance_is_terminated_only_when_empty_and_above_the_minimum() -> None:
    mine = {TAG_GRAPH: "g"}
    departing = instance(1, status="DRAINING", tags=mine)
    observed = snapshot(departing, groups=group(departing))
    action = only(decide(declared(), observed), TerminateInstance)
    assert (action.group, action.ec2_instance_id, action.floor) == ("asg", "i-1", 0)
    busy = replace(departing, tasks=1)
    result = decide(declared(), snapshot(busy, groups=group(busy)))
    assert (result.actions, result.waits[0].reason) == ((), "i-1 drains")
    kept = decide(declared(least=1), observed)
    assert only(kept, SetInstancesState).status == "ACTIVE"
    # Somebody else drained it.
    theirs = replace(departing, tags={})
    assert not decide(declared(), snapshot(theirs, groups=group(theirs))).actions


def test_what_was_to_go_back_is_kept_when_it_is_needed() -> None:
    departing = instance(1, status="DRAINING", tags={TAG_GRAPH: "g"})
    result = decide(
        declared(), snapshot(departing, groups=group(departing)), declared_graph(worker(), 1)
    )
    action = only(result, SetInstancesState)
    assert (action.instances, action.status) == (("arn:ci/1",), "ACTIVE")
    assert len(result.actions) == 1


def test_nothing_goes_back_while_a_replica_needs_it_or_has_no_place() -> None:
    idle = instance(1)
    observed = snapshot(idle, groups=group(idle))
    assert not decide(declared(), observed, declared_graph(worker(), 1), before=RIPE).actions
    big = declared_graph(worker(gpus=4, name="big"), 1)
    assert not decide(declared(), observed, big, before=RIPE).actions
    coming = snapshot(idle, groups=group(idle, desired=2))
    assert not decide(declared(), coming, before=RIPE).actions
