"""Network interfaces of awsvpc tasks in moto's EC2.

Scripts look up a task's public address with DescribeNetworkInterfaces, since DescribeTasks returns
only the private one. ECS creates the interface when it places the task, and deletes it when the
task has stopped (developer guide, awsvpc mode). Public addresses are from the block that is
reserved for documentation (RFC 5737), so they cannot be connected to.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.security_groups import SecurityGroup

from ecs_dynamo.local.wire.protocol import ACCOUNT

# moto's classes do not implement CloudFormation methods that their base class declares.
_NetworkInterface: Any = NetworkInterface
_SecurityGroup: Any = SecurityGroup


class NetworkInterfaces:
    """Creates and deletes network interfaces, for any subnets and security groups.

    A graph may name subnets and security groups that do not exist in moto. Interfaces refer to them
    nevertheless, and moto does not list them.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._public = itertools.cycle(range(1, 255))

    def attach(
        self,
        eni: str,
        address: str,
        subnet: str,
        security_groups: Sequence[str],
        *,
        public: bool,
        attachment: str,
    ) -> None:
        """Create the interface ``eni``. ``attachment`` is the ARN of its attachment."""
        ec2 = ec2_backends[ACCOUNT][self._region]
        interface = _NetworkInterface(ec2, self._subnet(subnet), address, description=attachment)
        interface.id = eni
        interface.status = "in-use"
        interface.requester_managed = True
        if security_groups:
            interface._group_set = [self._group(name, interface.vpc_id) for name in security_groups]
        if public:
            interface.public_ip = f"203.0.113.{next(self._public)}"
        ec2.enis[eni] = interface

    def detach(self, eni: str) -> None:
        """Delete the interface. Does nothing if it does not exist."""
        ec2_backends[ACCOUNT][self._region].enis.pop(eni, None)

    def _subnet(self, name: str) -> Any:
        ec2 = ec2_backends[ACCOUNT][self._region]
        try:
            return ec2.get_subnet(name)
        except EC2ClientError:
            subnet = copy.copy(ec2.get_default_subnets()[f"{self._region}a"])
            subnet.id = name
            return subnet

    def _group(self, name: str, vpc: str) -> Any:
        ec2 = ec2_backends[ACCOUNT][self._region]
        group = ec2.get_security_group_from_id(name)
        return group or _SecurityGroup(ec2, name, name, name, vpc_id=vpc)
