"""ECS's rules of settings that a service has besides its tasks: rebalancing and grace periods."""

from __future__ import annotations

from ecs_dynamo.local.wire.protocol import Json, invalid

ZONE = "ecs.availability-zone"
MOST_GRACE_SECONDS = 2**31 - 1
"""Service model, UpdateService.healthCheckGracePeriodSeconds."""


def _obstacle(service: Json) -> str | None:
    """Why Availability Zone rebalancing does not go with the service.

    Developer guide, "Balancing an Amazon ECS service across Availability Zones": not for daemons,
    a maximumPercent of 100, Classic Load Balancers, or constraints on the zone, and a placement
    strategy has to begin with a spread over zones. The first message is AWS's own.
    """
    most = service.get("deploymentConfiguration", {}).get("maximumPercent", 200)
    if most <= 100:
        return "Availability Zone Rebalancing does not support maximumPercent <= 100 %"
    if service.get("schedulingStrategy", "REPLICA") == "DAEMON":
        return "Availability Zone Rebalancing does not support the DAEMON scheduling strategy"
    if any(b.get("loadBalancerName") for b in service.get("loadBalancers", ())):
        return "Availability Zone Rebalancing does not support Classic Load Balancers"
    strategy = service.get("placementStrategy", ())
    if strategy and strategy[0] != {"type": "spread", "field": f"attribute:{ZONE}"}:
        return "Availability Zone Rebalancing needs a spread over zones as first placement strategy"
    if any(ZONE in c.get("expression", "") for c in service.get("placementConstraints", ())):
        return f"Availability Zone Rebalancing does not support constraints on {ZONE}"
    return None


def default_rebalancing(request: Json) -> str:
    """What CreateService takes where it is not said.

    "Amazon ECS defaults the value to ENABLED" (service model); of a service that is not compatible
    it is DISABLED, as the documentation of Terraform's `aws_ecs_service` and AWS's notice of June
    2025 say.
    """
    return "ENABLED" if _obstacle(request) is None else "DISABLED"


def check_settings(service: Json) -> None:
    """Refuse what ECS refuses. ``service`` has all that the service is to have."""
    if service.get("availabilityZoneRebalancing") == "ENABLED":
        obstacle = _obstacle(service)
        if obstacle is not None:
            raise invalid(obstacle)
    grace = service.get("healthCheckGracePeriodSeconds", 0)
    if not 0 <= grace <= MOST_GRACE_SECONDS:
        raise invalid(
            f"healthCheckGracePeriodSeconds must be between 0 and {MOST_GRACE_SECONDS}, is {grace}."
        )
