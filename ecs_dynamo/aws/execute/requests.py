"""Settings of a service that ECS applies without a new deployment, as request parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ecs_dynamo.aws.observe.capacity import Json
from ecs_dynamo.model.graph import LoadBalancer
from ecs_dynamo.model.plan import CreateService, UpdateService
from ecs_dynamo.model.service_names import ServiceNames
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
    PlacementConstraintSpec,
    PlacementStrategySpec,
)
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.service import NetworkSpec


def settings_request(action: CreateService | UpdateService) -> dict[str, Any]:
    """``availabilityZoneRebalancing`` and ``healthCheckGracePeriodSeconds``; None sends nothing.

    CreateService must always say the first: ECS's default is ENABLED, and then it moves tasks by
    itself and refuses a maximumPercent of 100 (service model, CreateService).
    """
    made: dict[str, Any] = {}
    if action.availability_zone_rebalancing is not None:
        made["availabilityZoneRebalancing"] = (
            "ENABLED" if action.availability_zone_rebalancing else "DISABLED"
        )
    if action.health_check_grace_seconds is not None:
        made["healthCheckGracePeriodSeconds"] = action.health_check_grace_seconds
    return made


def providers_request(providers: Iterable[CapacityProviderItem]) -> list[Json]:
    """A capacityProviderStrategy."""
    return [{"capacityProvider": p.name, "weight": p.weight, "base": p.base} for p in providers]


def placement_request(
    strategy: Sequence[PlacementStrategySpec] | None,
    constraints: Sequence[PlacementConstraintSpec] | None,
) -> Json:
    """The parameters of CreateService and UpdateService for what is not None."""
    made: Json = {}
    if strategy is not None:
        made["placementStrategy"] = [s.model_dump(exclude_none=True) for s in strategy]
    if constraints is not None:
        made["placementConstraints"] = [c.model_dump(exclude_none=True) for c in constraints]
    return made


def tags_request(tags: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": tags[key]} for key in sorted(tags)]


def network_request(network: NetworkSpec) -> dict[str, Any]:
    return {
        "awsvpcConfiguration": {
            "subnets": list(network.subnets),
            "securityGroups": list(network.security_groups),
            "assignPublicIp": "ENABLED" if network.assign_public_ip else "DISABLED",
        }
    }


def load_balancers_request(items: Iterable[LoadBalancer]) -> list[dict[str, Any]]:
    return [
        {
            "targetGroupArn": one.target_group_arn,
            "containerName": one.container,
            "containerPort": one.port,
        }
        for one in items
    ]


def limits_request(rollout: RolloutSpec) -> dict[str, Any]:
    return {
        "minimumHealthyPercent": rollout.minimum_healthy_percent,
        "maximumPercent": rollout.maximum_percent,
        "deploymentCircuitBreaker": {
            "enable": rollout.circuit_breaker,
            "rollback": rollout.circuit_breaker,
        },
    }


def names_request(names: ServiceNames) -> dict[str, Any]:
    """The parameters of CreateService and UpdateService for what is not None."""
    made: dict[str, Any] = {}
    if names.registry is not None:
        made["serviceRegistries"] = [{"registryArn": names.registry}]
    if names.connect is not None:
        made["serviceConnectConfiguration"] = {
            "enabled": True,
            "namespace": names.connect.namespace,
            "services": [
                {
                    "portName": one.port_name,
                    "discoveryName": one.discovery_name,
                    "clientAliases": [{"dnsName": one.dns_name, "port": one.port}],
                }
                for one in names.connect.publishes
            ],
        }
    return made
