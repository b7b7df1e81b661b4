"""Observed capacity: capacity providers and Auto Scaling groups.

They are observed only if the graph declares them; see `ecs_dynamo.model.snapshot` for `Unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass

MANAGED_INSTANCES = "MANAGED_INSTANCES"


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    """A capacity provider. ``type`` is ECS's: EC2_AUTOSCALING, MANAGED_INSTANCES, FARGATE or
    FARGATE_SPOT; ``group`` is the name of its Auto Scaling group."""

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
    """The resources of an instance type for tasks: GPU slots, CPU units, memory in MiB."""

    instance_type: str
    gpus: int
    cpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class GroupInstance:
    """An instance of an Auto Scaling group. ``lifecycle`` is InService, Pending, Terminating..."""

    ec2_instance_id: str
    lifecycle: str
    availability_zone: str | None = None

    @property
    def lives(self) -> bool:
        """Whether it is in service or starting."""
        return self.lifecycle == "InService" or self.lifecycle.startswith("Pending")


@dataclass(frozen=True, slots=True)
class AutoScalingGroup:
    """An Auto Scaling group. ``warm`` counts its warm pool, which is not capacity yet.

    ``sizes`` are the possible sizes of a new instance; empty if they are unknown.
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
    """Suspended processes, by EC2 Auto Scaling's names: ``AZRebalance`` and others."""

    @property
    def rebalances(self) -> bool:
        """Whether EC2 Auto Scaling may terminate instances to even out the Availability Zones.

        It does so when a released instance leaves a zone with fewer (model of
        TerminateInstanceInAutoScalingGroup), unless its process AZRebalance is suspended.
        """
        return len(self.zones) > 1 and "AZRebalance" not in self.suspended


@dataclass(frozen=True, slots=True)
class Shortage:
    """A shortage: ``replicas`` replicas do not fit, with ``gpus`` GPU slots each.

    ``instance_types`` are large enough. ``raising`` says what adds instances, if anything does.
    """

    component: str
    replicas: int
    gpus: int
    message: str
    instance_types: tuple[str, ...] = ()
    raising: str | None = None


AGENT_SHARE = 0.94
"""Minimum share of an instance type's memory that the ECS agent registers (less the kernel's)."""
