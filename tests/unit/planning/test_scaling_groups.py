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
    group,
    in_zones,
    instance,
    only,
    snapshot,
    task,
    wanted,
    worker,
)


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
