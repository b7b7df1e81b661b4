"""The settings of an ECS service, apart from its revision, replica count and tags.

One value serves the declaration, the observed service and the actions that create or change one, so
that a parameter is added in one place. `RULES` states for each member how it is compared, how ECS
applies a change, and how a plan shows it; `ecs_dynamo.aws.service_settings` converts each member to
and from the ECS API.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from ecs_dynamo.model.spec.capacity import CapacityProviderItem
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.service import NetworkSpec


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """How many tasks ECS keeps and starts during a deployment, in percent of the desired count.

    ECS rounds the number of tasks that must stay healthy up, and the number that may run down
    (service model, DeploymentConfiguration). ``circuit_breaker`` ends a deployment whose tasks keep
    failing; ``rolls_back`` then returns the service to the previous deployment.
    """

    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    circuit_breaker: bool = True
    rolls_back: bool = True

    @classmethod
    def of(cls, spec: RolloutSpec) -> DeploymentLimits:
        """Return the declared limits; a declared circuit breaker also rolls back."""
        return cls(
            minimum_healthy_percent=spec.minimum_healthy_percent,
            maximum_percent=spec.maximum_percent,
            circuit_breaker=spec.circuit_breaker,
            rolls_back=spec.circuit_breaker,
        )

    def must_stay(self, replicas: int) -> int:
        """Return how many of ``replicas`` must stay healthy."""
        return math.ceil(replicas * self.minimum_healthy_percent / 100)

    def may_run(self, replicas: int) -> int:
        """Return how many tasks may run where ``replicas`` are desired."""
        return replicas * self.maximum_percent // 100

    def can_replace(self, replicas: int) -> bool:
        """Return whether ECS can take a first step of a rollout of ``replicas``."""
        if replicas <= 0:
            return True
        return self.must_stay(replicas) < replicas or self.may_run(replicas) > replicas

    def widened(self, replicas: int) -> DeploymentLimits:
        """Return limits with which ``replicas`` can be replaced: these, or one more task's worth.

        The maximum is raised, rather than the minimum lowered, so that all replicas keep serving.
        """
        if self.can_replace(replicas):
            return self
        return replace(self, maximum_percent=math.ceil((replicas + 1) * 100 / replicas))


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A target group, and the container and port that it sends requests to."""

    target_group_arn: str
    container: str
    port: int


@dataclass(frozen=True, slots=True)
class PlacementStrategy:
    """A placement strategy of type ``spread``, ``binpack`` or ``random``; the last has no field."""

    type: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class PlacementConstraint:
    """A placement constraint of type ``memberOf`` or ``distinctInstance`` (without expression)."""

    type: str
    expression: str = ""


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A Service Connect endpoint, which client tasks reach at ``dns_name:port``.

    ``port_name`` names a port mapping of the task definition, ``discovery_name`` the Cloud Map
    service that Service Connect creates.
    """

    port_name: str
    discovery_name: str
    dns_name: str
    port: int


@dataclass(frozen=True, slots=True)
class ServiceConnect:
    """Membership in a Service Connect namespace (name or ARN); a client publishes nothing."""

    namespace: str
    publishes: tuple[PublishedPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The settings of a service; a member that is None is not set.

    None means: not managed (in a declaration), not reported by ECS (in an observed service), or not
    changed (in an update). The members with `Rule.absence_is_observed` have no "not reported":
    there None in an observed service means that it has none.
    """

    launch_type: str | None = None
    """EC2, FARGATE or EXTERNAL; None where capacity providers apply."""
    capacity_providers: tuple[CapacityProviderItem, ...] | None = None
    """Empty where the launch type applies."""
    service_registry: str | None = None
    """ARN of the Cloud Map service in which ECS registers the tasks."""
    service_connect: ServiceConnect | None = None
    load_balancers: tuple[LoadBalancer, ...] | None = None
    network: NetworkSpec | None = None
    """The awsvpc configuration; tasks in host and bridge mode have none."""
    limits: DeploymentLimits | None = None
    availability_zone_rebalancing: bool | None = None
    """Whether ECS moves tasks by itself to even out the Availability Zones."""
    health_check_grace_seconds: int | None = None
    """For how long after a task's start ECS ignores failing health checks."""
    placement_strategy: tuple[PlacementStrategy, ...] | None = None
    placement_constraints: tuple[PlacementConstraint, ...] | None = None
    tags_reach_tasks: bool | None = None
    """Whether tasks get the service's tags, which the daemon's rights over tasks rely on."""
    enable_execute_command: bool | None = None
    """Whether ECS Exec can run commands in the containers of tasks that start from now on."""

    @property
    def members(self) -> Mapping[str, Any]:
        """The members that are set, by name."""
        return {name: value for name in RULES if (value := getattr(self, name)) is not None}

    def updated(self, changes: ServiceSettings) -> ServiceSettings:
        """Return these settings with the members that are set in ``changes``."""
        return replace(self, **changes.members)

    def without(self, *names: str) -> ServiceSettings:
        """Return the members that are not in ``names``."""
        return self.only(self.members.keys() - set(names))

    def only(self, names: Collection[str]) -> ServiceSettings:
        """Return the members in ``names``; the others are None."""
        return ServiceSettings(**{n: v for n, v in self.members.items() if n in names})


class Effect(StrEnum):
    """How ECS applies another value of a member.

    Stated by the service model, UpdateService: "This parameter triggers a new service deployment"
    or "doesn't trigger a new service deployment"; launchType is not a parameter of UpdateService.
    """

    IN_PLACE = "in place"
    """Running tasks stay."""
    NEW_DEPLOYMENT = "new deployment"
    """ECS replaces the tasks: the change is ordered and protected as any rollout."""
    IMPOSSIBLE = "impossible"
    """ECS cannot change it: the component is left alone, and its condition names the remedy."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one member is compared, changed and shown.

    ``reason`` is the format string of an action's reason, with ``{observed}`` and ``{desired}``.
    ``label`` and ``show`` give the key and JSON value under which a plan lists the change; without
    a label the reason says it all. ``same`` takes (observed, desired). ``absence_is_observed``:
    None in an observed service means that it has none, and not that ECS did not report it.
    """

    effect: Effect
    reason: str
    same: Callable[[Any, Any], bool] = operator.eq
    absence_is_observed: bool = False
    label: str = ""
    show: Callable[[Any], Any] = str
    absent: Any = None
    """The value that is shown for an observed service that has none."""

    def differs(self, observed: Any, desired: Any) -> bool:
        """Return whether the observed value is not the desired one, as far as both are known."""
        if desired is None or (observed is None and not self.absence_is_observed):
            return False
        return observed is None or not self.same(observed, desired)


def difference(
    observed: ServiceSettings, desired: ServiceSettings, *effects: Effect
) -> ServiceSettings:
    """Return the members of ``desired`` that ``observed`` has otherwise; the others are None.

    With ``effects``, only members that ECS changes in one of these ways are compared.
    """
    return ServiceSettings(
        **{
            name: getattr(desired, name)
            for name, rule in RULES.items()
            if (not effects or rule.effect in effects)
            and rule.differs(getattr(observed, name), getattr(desired, name))
        }
    )


def with_effect(changes: ServiceSettings, *effects: Effect) -> ServiceSettings:
    """Return the members that ECS changes in one of these ways."""
    return changes.only([name for name, rule in RULES.items() if rule.effect in effects])


def reasons_of(observed: ServiceSettings, changes: ServiceSettings) -> tuple[str, ...]:
    """Return what ``changes`` changes in words, each text once, in the order of the members."""
    return tuple(
        dict.fromkeys(
            RULES[name].reason.format(
                observed=_word(getattr(observed, name)), desired=_word(desired)
            )
            for name, desired in changes.members.items()
        )
    )


def _word(value: Any) -> Any:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _same_items(observed: Iterable[Any], desired: Iterable[Any]) -> bool:
    return set(observed) == set(desired)


def _same_network(observed: NetworkSpec, desired: NetworkSpec) -> bool:
    """The order of subnets and security groups does not matter."""
    return (
        set(observed.subnets) == set(desired.subnets)
        and set(observed.security_groups) == set(desired.security_groups)
        and observed.assign_public_ip == desired.assign_public_ip
    )


def _same_namespace(observed: str, desired: str) -> bool:
    """A namespace's ARN does not contain its name, so an ARN and a name may mean the same."""
    return observed == desired or observed.startswith("arn:") != desired.startswith("arn:")


def _same_service_connect(observed: ServiceConnect, desired: ServiceConnect) -> bool:
    return _same_namespace(observed.namespace, desired.namespace) and _same_items(
        observed.publishes, desired.publishes
    )


_FIELDS: Final = {
    "host": "instanceId",
    "instanceid": "instanceId",
    "cpu": "cpu",
    "memory": "memory",
}
"""ECS's spellings of a strategy's field, in lower case -> the one that is compared."""


def _same_strategy(
    observed: tuple[PlacementStrategy, ...], desired: tuple[PlacementStrategy, ...]
) -> bool:
    """Strategies apply in order, so their order matters."""

    def comparable(strategy: tuple[PlacementStrategy, ...]) -> list[tuple[str, str]]:
        return [(s.type, _FIELDS.get(s.field.lower(), s.field)) for s in strategy]

    return comparable(observed) == comparable(desired)


def _same_constraints(
    observed: tuple[PlacementConstraint, ...], desired: tuple[PlacementConstraint, ...]
) -> bool:
    def comparable(constraints: tuple[PlacementConstraint, ...]) -> list[tuple[str, str]]:
        return sorted((c.type, c.expression) for c in constraints)

    return comparable(observed) == comparable(desired)


def _show_limits(limits: DeploymentLimits) -> dict[str, Any]:
    return {
        "minimumHealthyPercent": limits.minimum_healthy_percent,
        "maximumPercent": limits.maximum_percent,
        "circuitBreaker": limits.circuit_breaker and limits.rolls_back,
    }


def _show_network(network: NetworkSpec) -> dict[str, Any]:
    return {
        "subnets": sorted(network.subnets),
        "securityGroups": sorted(network.security_groups),
        "assignPublicIp": network.assign_public_ip,
    }


RULES: Final[Mapping[str, Rule]] = {
    "launch_type": Rule(Effect.IMPOSSIBLE, "launch type {observed} -> {desired}"),
    "capacity_providers": Rule(
        Effect.NEW_DEPLOYMENT,
        "capacity providers differ",
        same=_same_items,
        label="capacityProviders",
        show=lambda items: [f"{p.name} weight {p.weight} base {p.base}" for p in items],
    ),
    "service_registry": Rule(
        Effect.NEW_DEPLOYMENT,
        "the names of etcd and NATS differ",
        absence_is_observed=True,
    ),
    "service_connect": Rule(
        Effect.NEW_DEPLOYMENT,
        "the names of etcd and NATS differ",
        same=_same_service_connect,
        absence_is_observed=True,
    ),
    "load_balancers": Rule(
        Effect.NEW_DEPLOYMENT,
        "target group differs",
        same=_same_items,
        label="targetGroups",
        show=lambda items: [f"{b.target_group_arn} at {b.container}:{b.port}" for b in items],
    ),
    "network": Rule(
        Effect.NEW_DEPLOYMENT,
        "network configuration differs",
        same=_same_network,
        absence_is_observed=True,
        label="network",
        show=_show_network,
        absent=NetworkSpec(),
    ),
    "limits": Rule(
        Effect.IN_PLACE,
        "deployment limits {desired.minimum_healthy_percent}-{desired.maximum_percent} %",
        label="rollout",
        show=_show_limits,
    ),
    "availability_zone_rebalancing": Rule(
        Effect.IN_PLACE,
        "Availability Zone rebalancing {desired}",
    ),
    "health_check_grace_seconds": Rule(
        Effect.IN_PLACE,
        "health check grace period {observed} -> {desired} s",
    ),
    "placement_strategy": Rule(
        Effect.IN_PLACE,
        "placement differs (for replicas placed from now on)",
        same=_same_strategy,
        label="placement.strategy",
        show=lambda items: [f"{s.type} {s.field}" for s in items],
    ),
    "placement_constraints": Rule(
        Effect.IN_PLACE,
        "placement differs (for replicas placed from now on)",
        same=_same_constraints,
        label="placement.constraints",
        show=lambda items: [f"{c.type} {c.expression}".rstrip() for c in items],
    ),
    "tags_reach_tasks": Rule(Effect.IN_PLACE, "tasks do not get the service's tags"),
    "enable_execute_command": Rule(
        Effect.IN_PLACE, "ECS Exec {desired} (for tasks that start from now on)"
    ),
}
"""Every member of `ServiceSettings`, in the order in which a plan explains its changes."""
