"""Every member that CreateService is sent, and what happens when a service has another value.

A service that was created once is compared with the declaration in every pass, member by member.
Nothing that is declared may be sent once and then forgotten: a member that the executor sends and
that is missing here fails a test. How ECS applies a change is stated by the service model
(UpdateService: each member's "This parameter triggers a new service deployment" or "doesn't
trigger a new service deployment"; launchType is not a member of UpdateService).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.graph import TAG_FINGERPRINT, Component, LoadBalancer, NetworkMode
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_names import ServiceNames
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning.desired.placement import providers_differ
from ecs_dynamo.planning.desired.service_names import names_missing

OUR_TAGS: Final = "ecs-dynamo:"
"""Prefix of the tags that ecs-dynamo keeps for itself."""


class Treatment(StrEnum):
    """What a pass does about an observed difference."""

    IDENTITY = "identity"
    """It names the service or the request: another value means another service."""
    UPDATE = "update"
    """UpdateService, without a new deployment: running tasks stay."""
    ROLLOUT = "rollout"
    """UpdateService starts a new deployment: ordered and protected as any rollout."""
    TAG = "tag"
    """TagResource and UntagResource."""
    REJECT = "reject"
    """ECS cannot change it: the component is left alone, and its condition names the remedy."""


TREATMENTS: Final[Mapping[str, Treatment]] = {
    "cluster": Treatment.IDENTITY,
    "serviceName": Treatment.IDENTITY,
    "clientToken": Treatment.IDENTITY,
    "taskDefinition": Treatment.ROLLOUT,
    "desiredCount": Treatment.UPDATE,
    "launchType": Treatment.REJECT,
    "capacityProviderStrategy": Treatment.ROLLOUT,
    "deploymentConfiguration": Treatment.UPDATE,
    "networkConfiguration": Treatment.ROLLOUT,
    "placementConstraints": Treatment.UPDATE,
    "placementStrategy": Treatment.UPDATE,
    "loadBalancers": Treatment.ROLLOUT,
    "serviceRegistries": Treatment.ROLLOUT,
    "serviceConnectConfiguration": Treatment.ROLLOUT,
    "tags": Treatment.TAG,
    "availabilityZoneRebalancing": Treatment.UPDATE,
    "healthCheckGracePeriodSeconds": Treatment.UPDATE,
    "enableECSManagedTags": Treatment.UPDATE,
    "propagateTags": Treatment.UPDATE,
}


def load_balancers(component: Component) -> tuple[LoadBalancer, ...]:
    """The declared load balancers: the target group at the frontend's port."""
    if component.target_group_arn is None:
        return ()
    port, first = component.frontend_port, dynamo_containers(component).names[0]
    mapping = (
        str(container["name"])
        for container in component.template.get("containerDefinitions", ())
        for mapped in container.get("portMappings", ())
        if mapped.get("containerPort") == port
    )
    return (LoadBalancer(component.target_group_arn, next(mapping, first), port),)


def load_balancers_differ(component: Component, service: Service) -> bool:
    """Whether other target groups are attached than the declared one, or none where one is.

    The graph file declares none for etcd and NATS, so theirs are left alone.
    """
    if component.is_infrastructure or service.load_balancers is None:
        return False
    return set(load_balancers(component)) != set(service.load_balancers)


def service_network(component: Component) -> NetworkSpec | None:
    """The awsvpc configuration of the component's service; None in host and bridge mode."""
    return component.network if component.network_mode is NetworkMode.AWSVPC else None


def network_differs(component: Component, of: Service | NetworkSpec) -> bool:
    """Whether an awsvpc configuration is not the declared one (order is no matter)."""
    wanted = service_network(component)
    return wanted is not None and (
        set(wanted.subnets) != set(of.subnets)
        or set(wanted.security_groups) != set(of.security_groups)
        or wanted.assign_public_ip != of.assign_public_ip
    )


def may_rebalance(component: Component, limits: RolloutSpec) -> bool:
    """Whether ECS may move replicas between zones: where declared, and ECS accepts it.

    With a maximumPercent of 100 it refuses ("Availability Zone Rebalancing does not support
    maximumPercent <= 100 %"), so it is off while replicas are replaced one at a time. Nothing is
    lost: ECS rebalances a service in a steady state only (developer guide, "Balancing an Amazon ECS
    service across Availability Zones").
    """
    return component.availability_zone_rebalancing and limits.maximum_percent > 100


def rollout_differences(component: Component, service: Service) -> tuple[str, ...]:
    """What differs, beside the task definition, that ECS changes by a new deployment alone."""
    found = []
    if providers_differ(component, service):
        found.append("capacity providers differ")
    if names_missing(component, service) != ServiceNames():
        found.append("the names of etcd and NATS differ")
    if load_balancers_differ(component, service):
        found.append("target group differs")
    # A member of an etcd cluster moves by being replaced (`planning.members`).
    if component.member is None and network_differs(component, service):
        found.append("network configuration differs")
    return tuple(found)


def rejected_difference(component: Component, service: Service) -> tuple[str, str] | None:
    """What differs and cannot be changed: a reason word, and a sentence with the remedy."""
    have, wanted = service.launch_type, component.launch_type.value
    if component.capacity_providers or service.capacity_providers or have in (None, wanted):
        return None
    remedies = [f"declare launchType {have}"]
    if component.is_infrastructure:
        remedies.append("delete the service, which is created again")
    else:
        remedies.append("rename the component: the service of the old name is retired afterwards")
        if wanted == "FARGATE":
            remedies.append("declare capacityProviders with FARGATE instead")
    return "LaunchTypeFixed", (
        f"service {service.name} has launch type {have}, {wanted} is declared, and ECS cannot "
        f"change it; {', or '.join(remedies)}"
    )


def same_limits(service: Service, spec: RolloutSpec) -> bool:
    """The service has these deployment limits and this circuit breaker."""
    return (
        service.minimum_healthy_percent == spec.minimum_healthy_percent
        and service.maximum_percent == spec.maximum_percent
        and service.circuit_breaker == spec.circuit_breaker
        and service.breaker_rolls_back in (None, spec.circuit_breaker)
    )


def tags_reach_tasks(service: Service) -> bool:
    """Whether the service propagates its tags to its tasks, which the daemon's rights rely on."""
    return service.managed_tags is not False and service.propagate_tags in (None, "SERVICE")


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
    """How the user's tags differ from the declared ones; None where they do not.

    Which tags of the service were declared once is told by those of its revisions, which carry
    the same ones. All others were set by someone else and stay.
    """
    # A revision without our fingerprint is not ours, or its tags are not listed yet.
    mine = current is not None and TAG_FINGERPRINT in current.tags
    have = current.tags if current is not None and mine else {}
    wanted = {key: value for key, value in declared.items() if not key.startswith(OUR_TAGS)}
    add = {
        key: value
        for key, value in wanted.items()
        if service.tags.get(key) != value or (mine and have.get(key) != value)
    }
    once = {
        key
        for revision in known
        for key in revision.tags
        if not key.startswith((OUR_TAGS, "aws:")) and key not in wanted
    }
    remove = tuple(sorted(key for key in once if key in service.tags or key in have))
    return TagChange(add, remove) if add or remove else None
