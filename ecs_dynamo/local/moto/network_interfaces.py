"""Network interfaces of awsvpc tasks, as EC2 shows them: in moto's own store.

Scripts look a task's public address up in DescribeNetworkInterfaces, since DescribeTasks has the
private one alone. ECS makes the interface when it places the task and deletes it when the task has
stopped (developer guide, awsvpc mode). Public addresses are of the block for documentation (RFC
5737): they lead nowhere.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any, Protocol

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.security_groups import SecurityGroup

from ecs_dynamo.local.wire.protocol import ACCOUNT

# moto's classes leave methods of CloudFormation out that their base declares.
_NetworkInterface: Any = NetworkInterface
_SecurityGroup: Any = SecurityGroup


class Interfaces(Protocol):
    """What tasks need of EC2."""

    def attach(
        self, eni: str, address: str, subnet: str, groups: Sequence[str], public: bool, of: str
    ) -> None:
        """Make the interface ``eni``; ``of`` is the ARN of its attachment."""

    def detach(self, eni: str) -> None:
        """Delete it; harmless twice."""


class MotoInterfaces:
    """Interfaces in moto, whatever subnets and security groups moto itself knows.

    A graph may name subnets and groups that nobody made: interfaces refer to them all the same,
    and EC2 does not learn of them by that.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._public = itertools.cycle(range(1, 255))

    def attach(
        self, eni: str, address: str, subnet: str, groups: Sequence[str], public: bool, of: str
    ) -> None:
        """Make the interface ``eni``; ``of`` is the ARN of its attachment."""
        ec2 = ec2_backends[ACCOUNT][self._region]
        made = _NetworkInterface(ec2, self._subnet(subnet), address, description=of)
        made.id = eni
        made.status = "in-use"
        made.requester_managed = True
        if groups:
            made._group_set = [self._group(name, made.vpc_id) for name in groups]
        if public:
            made.public_ip = f"203.0.113.{next(self._public)}"
        ec2.enis[eni] = made

    def detach(self, eni: str) -> None:
        """Delete it; harmless twice."""
        ec2_backends[ACCOUNT][self._region].enis.pop(eni, None)

    def _subnet(self, name: str) -> Any:
        ec2 = ec2_backends[ACCOUNT][self._region]
        try:
            return ec2.get_subnet(name)
        except EC2ClientError:
            stand_in = copy.copy(ec2.get_default_subnets()[f"{self._region}a"])
            stand_in.id = name
            return stand_in

    def _group(self, name: str, vpc: str) -> Any:
        ec2 = ec2_backends[ACCOUNT][self._region]
        known = ec2.get_security_group_from_id(name)
        return known or _SecurityGroup(ec2, name, name, name, vpc_id=vpc)
