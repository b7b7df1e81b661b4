"""Declared settings of a service, and what differs from them in the observed service."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ecs_dynamo.model.graph import TAG_FINGERPRINT, Component
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import (
    RULES,
    Effect,
    ServiceSettings,
    difference,
    reasons_of,
)
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.model.spec.service import NetworkSpec

OUR_TAGS: Final = "ecs-dynamo:"
"""Prefix of the tags that ecs-dynamo keeps for itself."""


def network_differs(component: Component, observed: NetworkSpec | None) -> bool:
    """Return whether an observed awsvpc configuration is not the declared one."""
    return RULES["network"].differs(observed, component.settings.network)


def rebalancing_allowed(settings: ServiceSettings, maximum_percent: int) -> bool:
    """Return whether ECS may move replicas between zones: where declared, and ECS accepts it.

    With a maximumPercent of 100 ECS refuses ("Availability Zone Rebalancing does not support
    maximumPercent <= 100 %"), so it is off while replicas are replaced one at a time. Nothing is
    lost: ECS rebalances a service in a steady state only (developer guide, "Balancing an Amazon ECS
    service across Availability Zones").
    """
    return bool(settings.availability_zone_rebalancing) and maximum_percent > 100


def rollout_reasons(component: Component, service: Service) -> tuple[str, ...]:
    """Return in words what differs, besides the task definition, and needs a new deployment.

    The network of an etcd member is excluded: a member moves by being replaced
    (`planning.desired.etcd_member`).
    """
    changes = difference(service.settings, component.settings, Effect.NEW_DEPLOYMENT)
    if component.member is not None:
        changes = changes.without("network")
    return reasons_of(service.settings, changes)


def rejected_launch_type(component: Component, service: Service) -> str | None:
    """Return a message with the remedy if ECS cannot change the launch type to the declared one."""
    changes = difference(service.settings, component.settings, Effect.IMPOSSIBLE)
    if changes.launch_type is None:
        return None
    observed, desired = service.settings.launch_type, changes.launch_type
    remedies = [f"declare launchType {observed}"]
    if component.is_infrastructure:
        remedies.append("delete the service, which is created again")
    else:
        remedies.append("rename the component: the service of the old name is retired afterwards")
        if desired == "FARGATE":
            remedies.append("declare capacityProviders with FARGATE instead")
    return (
        f"service {service.name} has launch type {observed}, {desired} is declared, and ECS cannot "
        f"change it; {', or '.join(remedies)}"
    )


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags to set, and keys to remove, on the service and on the revision that it runs."""

    add: Mapping[str, str]
    remove: tuple[str, ...]


def tag_change(
    declared: Mapping[str, str],
    service: Service,
    current: Revision | None,
    known: Collection[Revision],
) -> TagChange | None:
    """Return how the user's tags differ from the declared ones; None if they do not.

    Tags that were declared earlier are known from the service's revisions, which carry the same
    tags. All other tags were set by someone else and stay.
    """
    # A revision without a fingerprint belongs to someone else, or its tags are not listed yet.
    is_ours = current is not None and TAG_FINGERPRINT in current.tags
    own = current.tags if current is not None and is_ours else {}
    desired = {key: value for key, value in declared.items() if not key.startswith(OUR_TAGS)}
    add = {
        key: value
        for key, value in desired.items()
        if service.tags.get(key) != value or (is_ours and own.get(key) != value)
    }
    earlier = {
        key
        for revision in known
        for key in revision.tags
        if not key.startswith((OUR_TAGS, "aws:")) and key not in desired
    }
    remove = tuple(sorted(key for key in earlier if key in service.tags or key in own))
    return TagChange(add, remove) if add or remove else None
