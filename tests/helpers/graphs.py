"""Graphs for the planning tests, built without files."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ecs_dynamo.config.build.service_settings import (
    grace_seconds,
    load_balancers,
    placement_constraints,
    placement_strategy,
    service_network,
)
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.service_settings import DeploymentLimits, ServiceSettings
from ecs_dynamo.model.spec.capacity import PlacementSpec
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
        settings=ServiceSettings(
            load_balancers=None if {Role.ETCD, Role.NATS} & set(roles) else (),
            availability_zone_rebalancing=False,
            tags_reach_tasks=True,
            enable_execute_command=False,
        ),
    )
    declared: dict[str, Any] = {"network": NETWORK, "rollout": RolloutSpec(), "placement": None}
    return redeclared(base, **(declared | {"capacity_providers": ()} | changes))


def redeclared(component: Component, **changes: Any) -> Component:
    """The component as the graph file gives it with these changes.

    Beside the component's own fields they are keys of the graph file that become settings.
    """
    own = {field.name for field in fields(Component)} - {"rollout"}
    component = replace(component, **{k: v for k, v in changes.items() if k in own})
    launch_type, settings = component.launch_type, dict[str, Any]()
    for key, value in changes.items():
        match key:
            case "rollout":
                infrastructure = component.is_infrastructure
                component = replace(component, rollout=value.policy)
                settings["limits"] = DeploymentLimits.of(value)
                settings["health_check_grace_seconds"] = grace_seconds(
                    value, infrastructure=infrastructure
                )
            case "network":
                settings["network"] = service_network(component.template, value)
            case "capacity_providers":
                settings["capacity_providers"] = value
                settings["launch_type"] = None if value else launch_type.value
            case "launch_type" | "placement":
                placement = changes.get("placement") or PlacementSpec()
                if "capacity_providers" not in changes:
                    settings["launch_type"] = launch_type.value
                settings["placement_strategy"] = placement_strategy(placement)
                settings["placement_constraints"] = placement_constraints(placement, launch_type)
            case "target_group_arn":
                containers = dynamo_containers(component).names
                attached = load_balancers(value, 8000, component.template, containers)
                settings["load_balancers"] = attached
            case _ if key not in own:
                settings[key] = value
    return replace(component, settings=replace(component.settings, **settings))


def with_rollout(component: Component, **keys: Any) -> Component:
    """The component with other values of some keys under `rollout`; the grace period follows."""
    limits, policy = component.limits, component.rollout
    spec = RolloutSpec(
        minimum_healthy_percent=limits.minimum_healthy_percent,
        maximum_percent=limits.maximum_percent,
        circuit_breaker=limits.circuit_breaker,
        progress_deadline_seconds=policy.progress_deadline_seconds,
        canary=policy.canary,
        keep_revisions=policy.keep_revisions,
    )
    return redeclared(component, rollout=spec.model_copy(update=keys))


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
    return with_container(base, name, image=image)


def with_label(base: Graph, name: str, value: str) -> Graph:
    """The graph with another label of one component's container.

    That leaves the generation of a worker alone, so that it rolls in place.
    """
    return with_container(base, name, dockerLabels={"round": value})


def image_of(component: Component) -> str:
    """The declared image of a component."""
    return str(component.template["containerDefinitions"][0]["image"])


def with_container(base: Graph, name: str, **members: Any) -> Graph:
    """The graph with other members of the first container of one component."""
    changed = []
    for component in base.components:
        if component.name == name:
            content = {**component.template}
            first, *rest = content["containerDefinitions"]
            content["containerDefinitions"] = [{**first, **members}, *rest]
            component = replace(component, template=content)
        changed.append(component)
    return replace(base, components=tuple(changed))
