"""Which replicas do not fit, and what the message says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.capacity import (
    CapacityProvider,
)
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import (
    SetDesiredCapacity,
)
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Unknown,
)
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
)
from ecs_dynamo.planning.capacity.packing import resource_request
from ecs_dynamo.planning.capacity.shortage import missing_requests
from ecs_dynamo.planning.capacity.surge import free_capacity, surge_fits, why_no_surge
from ecs_dynamo.planning.desired.component import ComponentState
from tests.helpers.capacity import (
    LARGE,
    decide,
    declared,
    declared_graph,
    group,
    instance,
    only,
    snapshot,
    task,
    worker,
)
from tests.helpers.graphs import (
    component,
    graph,
    template,
)


def test_two_instances_with_a_free_gpu_each_do_not_hold_a_replica_with_two() -> None:
    observed = snapshot(instance(1), instance(2), instance(3, LARGE, used=3))
    result = decide(graph(), observed, declared_graph(worker(gpus=2), 2))
    short = result.shortages["decode"]
    assert (short.replicas, short.gpus, short.instance_types) == (2, 2, ("g5.12xlarge",))
    assert short.message.startswith("2 of 2 replicas do not fit (2 GPU slots each): GPU on 3")
    assert "free slots: 1, 1, 1" in short.message
    assert "g5.12xlarge would fit" in short.message
    assert not result.actions


def test_what_runs_counts_and_stopping_tasks_give_back_what_they_hold() -> None:
    full = snapshot(instance(1, used=1), instance(2, used=1))
    running = task("a", "arn:ci/1")
    assert decide(graph(), full, declared_graph(worker(), 1, running)).shortages == {}
    assert (
        decide(graph(), full, declared_graph(worker(), 2, running)).shortages["decode"].replicas
        == 1
    )
    going = task("b", "arn:ci/2", desired_status="STOPPED", last_status="DEACTIVATING")
    item = declared_graph(worker(), 2, running, stopped=(going,))
    assert decide(graph(), full, item).shortages == {}


def test_instances_that_ecs_places_nothing_on_are_no_room() -> None:
    draining = instance(1, status="DRAINING")
    lost = instance(2, agent_connected=False)
    result = decide(graph(), snapshot(draining, lost), declared_graph(worker(), 1))
    assert "no active instance" in result.shortages["decode"].message
    unknown = snapshot(container_instances={"gpu": Unknown("throttled")})
    assert decide(graph(), unknown, declared_graph(worker(), 9)).shortages == {}


def test_what_runs_on_a_draining_instance_needs_another_place() -> None:
    draining = instance(1, used=1, status="DRAINING")
    item = declared_graph(worker(), 1, task("a", "arn:ci/1"))
    assert decide(graph(), snapshot(draining, instance(2)), item).shortages == {}
    result = decide(declared(), snapshot(draining, groups=group()), item)
    assert only(result, SetDesiredCapacity).desired == 1


def test_a_surge_counts_on_its_own_providers_and_on_what_they_add() -> None:
    spot = worker(capacity_providers=(CapacityProviderItem(name="spot"),))
    free = free_capacity(snapshot(instance(1), instance(2, capacity_provider="spot")))
    assert surge_fits(declared_graph(worker(), 1), 2, free)
    assert surge_fits(declared_graph(spot, 1), 1, free)
    assert not surge_fits(declared_graph(spot, 1), 2, free)
    adds = {"spot": CapacityProvider("spot", "ACTIVE", "EC2_AUTOSCALING", "g", True)}
    free = free_capacity(snapshot(instance(1, used=1), providers=adds))
    assert surge_fits(declared_graph(spot, 1), 5, free)
    assert not surge_fits(declared_graph(worker(), 1), 1, free)


def test_a_surge_needs_ports_memory_and_an_instance_of_its_own_too() -> None:
    content = template("frontend", "host")
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 8000}]
    frontend = replace(graph().component("frontend"), template=content)
    busy = instance(1, used_ports=frozenset({8000}))
    free = free_capacity(snapshot(busy))
    assert not surge_fits(declared_graph(frontend, 1), 1, free)
    assert why_no_surge(declared_graph(frontend, 1), free) == "host port on 1 instance"
    assert surge_fits(declared_graph(frontend, 1), 1, free_capacity(snapshot(busy, instance(2))))
    assert not surge_fits(
        declared_graph(frontend, 1), 2, free_capacity(snapshot(busy, instance(2)))
    )

    small = free_capacity(snapshot(instance(1, memory_free=8)))
    assert why_no_surge(declared_graph(worker(), 1), small) == "memory on 1 instance"

    alone = replace(declared_graph(frontend, 1), one_per_instance=True)
    there = ComponentSnapshot(service=None, tasks=(task("a", "arn:ci/2"),))
    observed = snapshot(instance(2), components={"frontend": there})
    assert why_no_surge(alone, free_capacity(observed)) == "one replica per instance on 1 instance"


def test_all_gpus_of_an_instance_and_shares_of_one() -> None:
    def asks(value: str) -> ComponentState:
        content = template("decode", "awsvpc", gpus=1)
        content["containerDefinitions"][0]["resourceRequirements"][0]["value"] = value
        return declared_graph(replace(worker(), template=content), 1)

    whole, taken = instance(1, gpus=4, gpus_free=4), instance(2, gpus=4, gpus_free=3)
    assert surge_fits(asks("ALL"), 1, free_capacity(snapshot(whole, taken)))
    assert not surge_fits(asks("ALL"), 2, free_capacity(snapshot(whole, taken)))
    assert not surge_fits(asks("ALL"), 1, free_capacity(snapshot(instance(3, gpus=0, gpus_free=0))))
    assert surge_fits(asks("0.25"), 1, free_capacity(snapshot(instance(1))))
    assert not surge_fits(asks("0.25"), 1, free_capacity(snapshot(instance(1, used=1))))
    # A foreign revision must never end a pass.
    assert surge_fits(asks("two"), 1, free_capacity(snapshot(instance(1))))
    result = decide(graph(), snapshot(taken), asks("ALL"))
    assert "all GPUs of an instance each" in result.shortages["decode"].message


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
    assert decide(base, snapshot(instance(1)), declared_graph(front, 1)).shortages == {}
    result = decide(base, snapshot(instance(1, **change)), declared_graph(front, 1))
    assert f"{reason} on 1 instance" in result.shortages["front"].message
    # In host mode frontends are placed one per instance.
    there = task("x", "arn:ci/1")
    result = decide(base, snapshot(instance(1)), declared_graph(front, 2, there))
    assert "one replica per instance" in result.shortages["front"].message


def test_fargate_is_never_short_in_advance_and_managed_instances_are_raised() -> None:
    managed = worker(capacity_providers=(CapacityProviderItem(name="mi"),))
    providers = {"mi": CapacityProvider("mi", "ACTIVE", "MANAGED_INSTANCES")}
    observed = snapshot(providers=providers)
    assert decide(graph(), observed, declared_graph(managed, 3)).shortages["decode"].raising == (
        "ECS adds instances through mi"
    )
    infra = graph().components[0]
    assert decide(graph(), snapshot(), declared_graph(infra, 1)).shortages == {}


def test_a_replica_only_counts_on_instances_of_its_capacity_provider() -> None:
    spot = worker(capacity_providers=(CapacityProviderItem(name="spot"),))
    mine, other = instance(1, capacity_provider="spot"), instance(2)
    assert decide(graph(), snapshot(mine, other), declared_graph(spot, 1)).shortages == {}
    result = decide(graph(), snapshot(mine, other), declared_graph(spot, 2))
    assert "capacity provider on 1 instance" in result.shortages["decode"].message
    waiting = task("w", capacity_provider="gone")
    (need,) = missing_requests(declared_graph(spot, 1, waiting))
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
