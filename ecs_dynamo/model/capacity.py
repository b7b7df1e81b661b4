"""Observed capacity: capacity providers and Auto Scaling groups.

They are observed only where the graph declares them.
"""

from __future__ import annotations

from dataclasses import dataclass

MANAGED_INSTANCES = "MANAGED_INSTANCES"


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    """A capacity provider.

    ``type`` is ECS's: EC2_AUTOSCALING, MANAGED_INSTANCES, FARGATE or FARGATE_SPOT. ``group`` is the
    name of its Auto Scaling group.
    """

    name: str
    status: str
    type: str
    group: str | None = None
    managed_scaling: bool = False

    @property
    def scales_itself(self) -> bool:
        """Whether AWS adds instances when tasks wait for them."""
        return self.type == MANAGED_INSTANCES or self.managed_scaling


@dataclass(frozen=True, slots=True)
class InstanceSize:
    """Capacity of one instance of a type for tasks: GPU slots, CPU units, memory in MiB."""

    instance_type: str
    gpus: int
    cpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class GroupInstance:
    """An instance of an Auto Scaling group. ``lifecycle``: InService, Pending, Terminating..."""

    ec2_instance_id: str
    lifecycle: str
    availability_zone: str | None = None

    @property
    def lives(self) -> bool:
        """Whether the instance is in service or starting."""
        return self.lifecycle == "InService" or self.lifecycle.startswith("Pending")


@dataclass(frozen=True, slots=True)
class AutoScalingGroup:
    """An Auto Scaling group.

    ``warm`` is the size of its warm pool, whose instances do not count as capacity yet. ``sizes``
    are those that a new instance may have, and empty where they are unknown.
    """

    name: str
    desired: int
    min_size: int
    max_size: int
    instances: tuple[GroupInstance, ...] = ()
    warm: int = 0
    sizes: tuple[InstanceSize, ...] = ()
    zones: tuple[str, ...] = ()
    suspended: frozenset[str] = frozenset()
    """Suspended processes, by EC2 Auto Scaling's names, such as ``AZRebalance``."""

    @property
    def rebalances(self) -> bool:
        """Whether EC2 Auto Scaling may terminate instances to even out the Availability Zones.

        It does so when the release of an instance leaves a zone with fewer (service model,
        TerminateInstanceInAutoScalingGroup), unless its process AZRebalance is suspended.
        """
        return len(self.zones) > 1 and "AZRebalance" not in self.suspended


@dataclass(frozen=True, slots=True)
class Shortage:
    """``replicas`` that no instance has capacity for, with ``gpus`` GPU slots each.

    ``instance_types`` are large enough. ``raising`` says who adds instances; None if nobody does.
    """

    component: str
    replicas: int
    gpus: int
    message: str
    instance_types: tuple[str, ...] = ()
    raising: str | None = None


AGENT_SHARE = 0.94
"""Least share of an instance's memory that the ECS agent registers. The kernel has the rest."""
