"""Convert service settings to parameters of CreateService and UpdateService, and back.

`CODECS` has one entry for each member of `ServiceSettings`. What is encoded here and returned by
DescribeServices decodes to the same value (property test: tests/unit/aws/test_service_settings.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    LoadBalancer,
    PlacementConstraint,
    PlacementStrategy,
    PublishedPort,
    ServiceConnect,
    ServiceSettings,
)
from ecs_dynamo.model.spec.capacity import CapacityProviderItem
from ecs_dynamo.model.spec.service import NetworkSpec

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """One member: ``encode`` gives request parameters, ``decode`` takes a DescribeServices entry.

    ``assumed`` is the parameter's value that ECS assumes where CreateService lacks it; it is not
    sent then. Ellipsis: always sent.
    """

    encode: Callable[[Any], dict[str, Any]]
    decode: Callable[[Json], Any]
    assumed: Any = ...


def creation_parameters(settings: ServiceSettings) -> dict[str, Any]:
    """Return the parameters of CreateService."""
    return {
        key: value
        for name, member in settings.members.items()
        for key, value in CODECS[name].encode(member).items()
        if value != CODECS[name].assumed
    }


def update_parameters(changes: ServiceSettings) -> dict[str, Any]:
    """Return the parameters of UpdateService for the members that are set.

    ECS takes a capacity provider strategy only together with ``forceNewDeployment``.
    """
    parameters: dict[str, Any] = {}
    for name, member in changes.members.items():
        parameters |= CODECS[name].encode(member)
    if changes.capacity_providers is not None:
        parameters["forceNewDeployment"] = True
    return parameters


def to_settings(raw: Json) -> ServiceSettings:
    """Return the settings of a DescribeServices entry."""
    return ServiceSettings(**{name: codec.decode(raw) for name, codec in CODECS.items()})


def _parameter(key: str, assumed: Any = ...) -> Codec:
    """A member that is the parameter's value itself."""
    return Codec(lambda value: {key: value}, lambda raw: raw.get(key), assumed)


def _encode_providers(providers: tuple[CapacityProviderItem, ...]) -> dict[str, Any]:
    items = [{"capacityProvider": p.name, "weight": p.weight, "base": p.base} for p in providers]
    return {"capacityProviderStrategy": items}


def _decode_providers(raw: Json) -> tuple[CapacityProviderItem, ...]:
    return tuple(
        CapacityProviderItem(
            name=resource_name(p["capacityProvider"]),
            weight=p.get("weight", 0),
            base=p.get("base", 0),
        )
        for p in raw.get("capacityProviderStrategy") or ()
    )


def _decode_launch_type(raw: Json) -> str | None:
    return None if raw.get("capacityProviderStrategy") else raw.get("launchType")


def _decode_registry(raw: Json) -> str | None:
    registries = [r.get("registryArn") for r in raw.get("serviceRegistries") or ()]
    return registries[0] if registries else None


def _encode_service_connect(connect: ServiceConnect) -> dict[str, Any]:
    return {
        "serviceConnectConfiguration": {
            "enabled": True,
            "namespace": connect.namespace,
            "services": [
                {
                    "portName": port.port_name,
                    "discoveryName": port.discovery_name,
                    "clientAliases": [{"dnsName": port.dns_name, "port": port.port}],
                }
                for port in connect.publishes
            ],
        }
    }


def _decode_service_connect(raw: Json) -> ServiceConnect | None:
    """ECS reports it on each deployment, and not on the service (API reference, Deployment)."""
    connect: Json = {}
    for deployment in raw.get("deployments", ()):
        if deployment.get("status") == "PRIMARY":
            connect = deployment.get("serviceConnectConfiguration") or {}
    if not connect.get("enabled"):
        return None
    published = [
        PublishedPort(
            port.get("portName", ""),
            port.get("discoveryName") or port.get("portName", ""),
            alias.get("dnsName", ""),
            alias.get("port", 0),
        )
        for port in connect.get("services") or ()
        for alias in port.get("clientAliases") or ()
    ]
    return ServiceConnect(connect.get("namespace", ""), tuple(published))


def _encode_load_balancers(items: tuple[LoadBalancer, ...]) -> dict[str, Any]:
    return {
        "loadBalancers": [
            {
                "targetGroupArn": item.target_group_arn,
                "containerName": item.container,
                "containerPort": item.port,
            }
            for item in items
        ]
    }


def _decode_load_balancers(raw: Json) -> tuple[LoadBalancer, ...] | None:
    items = raw.get("loadBalancers")
    if items is None:
        return None
    return tuple(
        LoadBalancer(
            # A Classic Load Balancer has a name and no target group.
            item.get("targetGroupArn") or item.get("loadBalancerName", ""),
            item.get("containerName", ""),
            item.get("containerPort", 0),
        )
        for item in items
    )


def _encode_network(network: NetworkSpec) -> dict[str, Any]:
    return {
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(network.subnets),
                "securityGroups": list(network.security_groups),
                "assignPublicIp": "ENABLED" if network.assign_public_ip else "DISABLED",
            }
        }
    }


def to_network(raw: Json) -> NetworkSpec | None:
    """Return the awsvpc configuration of a described service or deployment."""
    network = raw.get("networkConfiguration", {}).get("awsvpcConfiguration")
    if network is None:
        return None
    return NetworkSpec(
        subnets=tuple(network.get("subnets", ())),
        security_groups=tuple(network.get("securityGroups", ())),
        assign_public_ip=network.get("assignPublicIp") == "ENABLED",
    )


def _encode_limits(limits: DeploymentLimits) -> dict[str, Any]:
    return {
        "deploymentConfiguration": {
            "minimumHealthyPercent": limits.minimum_healthy_percent,
            "maximumPercent": limits.maximum_percent,
            "deploymentCircuitBreaker": {
                "enable": limits.circuit_breaker,
                "rollback": limits.rolls_back,
            },
        }
    }


def _decode_limits(raw: Json) -> DeploymentLimits | None:
    """Absent percentages are ECS's defaults; an absent ``rollback`` differs from nothing."""
    limits = raw.get("deploymentConfiguration")
    if not limits:
        return None
    breaker = limits.get("deploymentCircuitBreaker") or {}
    enabled = breaker.get("enable", False)
    return DeploymentLimits(
        minimum_healthy_percent=limits.get("minimumHealthyPercent", 100),
        maximum_percent=limits.get("maximumPercent", 200),
        circuit_breaker=enabled,
        rolls_back=breaker.get("rollback", enabled),
    )


def _encode_rebalancing(enabled: bool) -> dict[str, Any]:
    """CreateService must always state it.

    ECS's default is ENABLED, and then ECS moves tasks by itself and refuses a maximumPercent of 100
    (service model, CreateService).
    """
    return {"availabilityZoneRebalancing": "ENABLED" if enabled else "DISABLED"}


def _decode_rebalancing(raw: Json) -> bool:
    """ECS treats a service that never had a value as DISABLED (service model, UpdateService)."""
    return bool(raw.get("availabilityZoneRebalancing") == "ENABLED")


def _encode_strategy(strategy: tuple[PlacementStrategy, ...]) -> dict[str, Any]:
    items = [{"type": s.type} | ({"field": s.field} if s.field else {}) for s in strategy]
    return {"placementStrategy": items}


def _decode_strategy(raw: Json) -> tuple[PlacementStrategy, ...]:
    strategy = raw.get("placementStrategy") or ()
    return tuple(PlacementStrategy(s.get("type", ""), s.get("field", "")) for s in strategy)


def _encode_constraints(constraints: tuple[PlacementConstraint, ...]) -> dict[str, Any]:
    items = [
        {"type": c.type} | ({"expression": c.expression} if c.expression else {})
        for c in constraints
    ]
    return {"placementConstraints": items}


def _decode_constraints(raw: Json) -> tuple[PlacementConstraint, ...]:
    constraints = raw.get("placementConstraints") or ()
    return tuple(
        PlacementConstraint(c.get("type", ""), c.get("expression", "")) for c in constraints
    )


def _encode_tag_propagation(reach_tasks: bool) -> dict[str, Any]:
    source = "SERVICE" if reach_tasks else "NONE"
    return {"enableECSManagedTags": reach_tasks, "propagateTags": source}


def _decode_tag_propagation(raw: Json) -> bool:
    managed, source = raw.get("enableECSManagedTags"), raw.get("propagateTags")
    return managed is not False and source in (None, "SERVICE")


CODECS: Final[Mapping[str, Codec]] = {
    "launch_type": Codec(lambda value: {"launchType": value}, _decode_launch_type),
    "capacity_providers": Codec(_encode_providers, _decode_providers, assumed=[]),
    "service_registry": Codec(
        lambda arn: {"serviceRegistries": [{"registryArn": arn}]}, _decode_registry
    ),
    "service_connect": Codec(_encode_service_connect, _decode_service_connect),
    "load_balancers": Codec(_encode_load_balancers, _decode_load_balancers, assumed=[]),
    "network": Codec(_encode_network, to_network),
    "limits": Codec(_encode_limits, _decode_limits),
    "availability_zone_rebalancing": Codec(_encode_rebalancing, _decode_rebalancing),
    "health_check_grace_seconds": _parameter("healthCheckGracePeriodSeconds"),
    "placement_strategy": Codec(_encode_strategy, _decode_strategy, assumed=[]),
    "placement_constraints": Codec(_encode_constraints, _decode_constraints, assumed=[]),
    "tags_reach_tasks": Codec(_encode_tag_propagation, _decode_tag_propagation),
    "enable_execute_command": _parameter("enableExecuteCommand", assumed=False),
}
