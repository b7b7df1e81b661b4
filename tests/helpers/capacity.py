"""Instances, groups and components for tests of capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ecs_dynamo.model.capacity import (
    AutoScalingGroup,
    GroupInstance,
    InstanceSize,
)
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    ContainerInstance,
    Snapshot,
    Task,
)
from ecs_dynamo.model.spec.capacity import (
    AutoScalingGroupSpec,
    CapacitySpec,
)
from ecs_dynamo.planning.capacity.plan import (
    CapacityPlan,
    plan_capacity,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.ports import plan_ports
from tests.helpers.facts import state_of
from tests.helpers.graphs import (
    component,
    graph,
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


def declared_graph(
    component: Component, desired: int, *tasks: Task, stopped: tuple[Task, ...] = ()
) -> ComponentState:
    observed = ComponentSnapshot(service=None, tasks=tasks, stopped=stopped)
    return state_of(component, observed, desired=desired)


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
    base: Graph, observed: Snapshot, *states: ComponentState, before: CapacityMemory | None = None
) -> CapacityPlan:
    apart = plan_ports(base).distinct_instances
    placed = [replace(w, one_per_instance=w.component.name in apart) for w in states]
    return plan_capacity(base, observed, placed, before or CapacityMemory(), NOW)


def only(result: CapacityPlan, kind: type[Any]) -> Any:
    (action,) = (a for a in result.actions if isinstance(a, kind))
    return action


RIPE = CapacityMemory({"arn:ci/1": NOW - 200, "arn:ci/2": NOW - 200})


def in_zones(*members: tuple[ContainerInstance, str]) -> Mapping[str, AutoScalingGroup]:
    """The group with members in Availability Zones."""
    placed = tuple(GroupInstance(m.ec2_instance_id, "InService", zone) for m, zone in members)
    return group(*(m for m, _ in members), instances=placed, zones=("a", "b"))


def service(**changes: Any) -> Service:
    base = Service("arn:s", "g-decode", "gpu", "ACTIVE", 1, 1, 0, "arn:td")
    return replace(base, **changes)
