"""What was observed of capacity: capacity providers and Auto Scaling groups.

Looked at only where the graph declares them; see `ecs_dynamo.model.snapshot` for `Unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass

MANAGED_INSTANCES = "MANAGED_INSTANCES"


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    """A capacity provider. ``type`` is ECS's word: EC2_AUTOSCALING, MANAGED_INSTANCES, FARGATE or
    FARGATE_SPOT; ``group`` the name of its Auto Scaling group."""

    name: str
    status: str
    type: str
    group: str | None = None
    managed_scaling: bool = False

    @property
    def scales_itself(self) -> bool:
        """AWS adds instances by itself where tasks wait for them."""
        return self.type == MANAGED_INSTANCES or self.managed_scaling


@dataclass(frozen=True, slots=True)
class InstanceSize:
    """What one instance of a type offers to tasks: GPU slots, CPU units, memory in MiB."""

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
        """In service, or coming into it."""
        return self.lifecycle == "InService" or self.lifecycle.startswith("Pending")


@dataclass(frozen=True, slots=True)
class AutoScalingGroup:
    """An Auto Scaling group. ``warm`` counts its warm pool, which is no capacity yet.

    ``sizes`` are those that a new instance may have; empty where that is not known.
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
    """Processes that are suspended, by EC2 Auto Scaling's names: ``AZRebalance`` and others."""

    @property
    def rebalances(self) -> bool:
        """EC2 Auto Scaling may terminate instances to even out the Availability Zones.

        It does so when an instance that is given back leaves a zone with fewer (model of
        TerminateInstanceInAutoScalingGroup), unless its process AZRebalance is suspended.
        """
        return len(self.zones) > 1 and "AZRebalance" not in self.suspended


@dataclass(frozen=True, slots=True)
class Shortage:
    """Replicas that find no place. ``replicas`` of them, ``gpus`` GPU slots each.

    ``instance_types`` would do. ``raising`` tells who adds instances for it, where someone does.
    """

    component: str
    replicas: int
    gpus: int
    message: str
    instance_types: tuple[str, ...] = ()
    raising: str | None = None


AGENT_SHARE = 0.94
"""Of an instance type's memory, what the ECS agent registers at least (the kernel keeps some)."""
