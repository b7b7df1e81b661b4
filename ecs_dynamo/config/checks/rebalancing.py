"""Check of settings that ECS rejects together with Availability Zone rebalancing.

Sources: the ECS developer guide, "Balancing an Amazon ECS service across Availability Zones", and
ECS's own answer ("Availability Zone Rebalancing does not support maximumPercent <= 100 %").
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.spec.component import ComponentSpec

_ZONE: Final = "ecs.availability-zone"
_REMOVE: Final = "remove availabilityZoneRebalancing (off by default)"


def check_rebalancing(
    component: ComponentSpec, path: FieldPath, document: Document, report: Report
) -> None:
    """Reject settings that ECS rejects together with ``availabilityZoneRebalancing: true``."""
    if not component.availability_zone_rebalancing:
        return
    where = (*path, "availabilityZoneRebalancing")
    most = component.rollout.maximum_percent
    if most <= 100:
        message = f"ECS rejects it with a maximumPercent of 100 or less, found {most}"
        report.error(document, where, message, f"raise rollout.maximumPercent, or {_REMOVE}")
    first = next(iter(component.placement.strategy or ()), None)
    if first is not None and (first.type, first.field) != ("spread", f"attribute:{_ZONE}"):
        message = (
            "ECS requires a first placement strategy that spreads over Availability Zones, "
            f"found {first.type} {first.field or ''}".rstrip()
        )
        remedy = f"put {{type: spread, field: 'attribute:{_ZONE}'}} first, or {_REMOVE}"
        report.error(document, where, message, remedy)
    for constraint in component.placement.constraints:
        if _ZONE in (constraint.expression or ""):
            message = f"ECS rejects it with a placement constraint on {_ZONE}"
            report.error(document, where, message, f"remove the constraint, or {_REMOVE}")
            break
