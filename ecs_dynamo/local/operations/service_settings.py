"""ECS's rules for Availability Zone rebalancing and for grace periods."""

from __future__ import annotations

from ecs_dynamo.local.wire.protocol import Json, invalid

ZONE = "ecs.availability-zone"
MAX_GRACE_SECONDS = 2**31 - 1
"""Service model, UpdateService.healthCheckGracePeriodSeconds."""


def _rebalancing_obstacle(service: Json) -> str | None:
    """Return why the service does not support Availability Zone rebalancing, or None.

    According to the developer guide, "Balancing an Amazon ECS service across Availability Zones",
    it excludes daemons, a maximumPercent of 100, Classic Load Balancers, and constraints on the
    zone, and a placement strategy must begin with a spread over zones. The first message is worded
    as AWS words it.
    """
    maximum = service.get("deploymentConfiguration", {}).get("maximumPercent", 200)
    if maximum <= 100:
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
    """Return the default of CreateService.

    "Amazon ECS defaults the value to ENABLED" (service model). The default of a service that does
    not support rebalancing is DISABLED, according to the documentation of Terraform's
    `aws_ecs_service` and AWS's notice of June 2025.
    """
    return "ENABLED" if _rebalancing_obstacle(request) is None else "DISABLED"


def check_settings(service: Json) -> None:
    """Check ``service``, which has all parameters of the service. Raises EcsError."""
    if service.get("availabilityZoneRebalancing") == "ENABLED":
        obstacle = _rebalancing_obstacle(service)
        if obstacle is not None:
            raise invalid(obstacle)
    grace = service.get("healthCheckGracePeriodSeconds", 0)
    if not 0 <= grace <= MAX_GRACE_SECONDS:
        raise invalid(
            f"healthCheckGracePeriodSeconds must be between 0 and {MAX_GRACE_SECONDS}, is {grace}."
        )
