"""Graphs for the planning tests, built without files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.spec.graph import RuntimeSpec
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.model.spec.service import (
    LaunchType,
    NetworkSpec,
)

NETWORK = NetworkSpec(subnets=("subnet-1",), security_groups=("sg-1",))


def template(name: str, mode: str, *, gpus: int = 0, image: str = "dynamo:1") -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": image, "essential": True, "memory": 64}
    if name != "etcd-nats":
        container["environment"] = [
            {"name": "ETCD_ENDPOINTS", "value": "http://IP_ADDRESS:2379"},
            {"name": "NATS_SERVER", "value": "nats://IP_ADDRESS:4222"},
        ]
    if gpus:
        container["resourceRequirements"] = [{"type": "GPU", "value": str(gpus)}]
    return {"family": "user", "networkMode": mode, "containerDefinitions": [container]}


def component(name: str, *roles: Role, mode: str = "awsvpc", **changes: Any) -> Component:
    gpus = 1 if set(roles) & {Role.PREFILL, Role.DECODE, Role.WORKER} else 0
    base = Component(
        name=name,
        roles=frozenset(roles),
        cluster="fargate" if Role.ETCD in roles else "gpu",
        service=f"g-{name}",
        family=f"g-{name}",
        launch_type=LaunchType.FARGATE if Role.ETCD in roles else LaunchType.EC2,
        replicas=1,
        template=template(name, mode, gpus=gpus),
        network=NETWORK,
        rollout=RolloutSpec(),
    )
    return replace(base, **changes)


def graph(
    *, prefill: int = 1, decode: int = 1, frontends: int = 1, scaling: ScalingSpec | None = None
) -> Graph:
    return Graph(
        name="g",
        namespace="ns",
        region="us-west-2",
        components=(
            component("etcd-nats", Role.ETCD, Role.NATS),
            component("frontend", Role.FRONTEND, mode="host", replicas=frontends),
            component("prefill", Role.PREFILL, replicas=prefill, scaling=scaling),
            component("decode", Role.DECODE, replicas=decode),
        ),
        runtime=RuntimeSpec(),
    )


def with_image(base: Graph, name: str, image: str) -> Graph:
    """The graph with another image in one component, as an edit of the file would give."""
    changed = []
    for one in base.components:
        if one.name == name:
            content = {**one.template}
            first, *rest = content["containerDefinitions"]
            content["containerDefinitions"] = [{**first, "image": image}, *rest]
            one = replace(one, template=content)
        changed.append(one)
    return replace(base, components=tuple(changed))
