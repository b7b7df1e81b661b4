"""Settings of a service that ECS applies without a new deployment, as request parameters."""

from __future__ import annotations

from typing import Any

from ecs_dynamo.model.plan import CreateService, UpdateService


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
