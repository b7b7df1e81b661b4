"""EC2's networking, for `doctor`. Nothing is changed.

Resources are selected by a filter and not by ID, so that a missing one does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import read_filtered
from ecs_dynamo.model.doctor import (
    Host,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    VpcEndpoint,
)
from ecs_dynamo.model.ecs.partitions import endpoint_service

Json = Mapping[str, Any]


async def describe_subnets(aws: Aws, ids: Iterable[str]) -> Mapping[str, Subnet]:
    """Return subnets by ID. Raises `AwsError`."""
    entries = read_filtered(aws, "ec2", "DescribeSubnets", "Subnets", "subnet-id", ids)
    return {
        raw["SubnetId"]: Subnet(
            raw["SubnetId"], raw["VpcId"], raw["CidrBlock"], raw["AvailableIpAddressCount"]
        )
        async for raw in entries
    }


def to_table(raw: Json) -> RouteTable:
    """Convert a DescribeRouteTables entry."""
    routes = []
    for route in raw.get("Routes", ()):
        targets = (
            route.get(key)
            for key in (
                "NatGatewayId",
                "GatewayId",
                "TransitGatewayId",
                "NetworkInterfaceId",
                "InstanceId",
                "VpcPeeringConnectionId",
                "LocalGatewayId",
                "CoreNetworkArn",
            )
        )
        routes.append(
            Route(
                route.get("DestinationCidrBlock") or route.get("DestinationPrefixListId", ""),
                next((t for t in targets if t), ""),
                route.get("State", "active") != "blackhole",
            )
        )
    associations = raw.get("Associations", ())
    return RouteTable(
        raw["RouteTableId"],
        raw["VpcId"],
        any(a.get("Main") for a in associations),
        frozenset(a["SubnetId"] for a in associations if a.get("SubnetId")),
        tuple(routes),
    )


async def describe_route_tables(aws: Aws, vpcs: Iterable[str]) -> tuple[RouteTable, ...]:
    """Return the route tables of ``vpcs``. Raises `AwsError`."""
    entries = read_filtered(aws, "ec2", "DescribeRouteTables", "RouteTables", "vpc-id", vpcs)
    return tuple([to_table(raw) async for raw in entries])


async def describe_vpc_endpoints(aws: Aws, vpcs: Iterable[str]) -> tuple[VpcEndpoint, ...]:
    """Return the VPC endpoints of ``vpcs`` that are available. Raises `AwsError`."""
    entries = read_filtered(aws, "ec2", "DescribeVpcEndpoints", "VpcEndpoints", "vpc-id", vpcs)
    return tuple(
        [
            VpcEndpoint(
                raw["VpcId"],
                endpoint_service(raw["ServiceName"]),
                frozenset(raw.get("RouteTableIds", ())),
                raw.get("VpcEndpointType") == "Gateway",
            )
            async for raw in entries
            if raw.get("State", "available").lower() == "available"
        ]
    )


def to_rule(raw: Json) -> Rule:
    """Convert an entry of IpPermissions."""
    return Rule(
        raw.get("IpProtocol", "-1"),
        raw.get("FromPort", 0),
        raw.get("ToPort", 65535),
        (
            *(r["CidrIp"] for r in raw.get("IpRanges", ()) if "CidrIp" in r),
            *(r["CidrIpv6"] for r in raw.get("Ipv6Ranges", ()) if "CidrIpv6" in r),
        ),
        frozenset(p["GroupId"] for p in raw.get("UserIdGroupPairs", ()) if "GroupId" in p),
        bool(raw.get("PrefixListIds")),
    )


async def describe_security_groups(aws: Aws, ids: Iterable[str]) -> Mapping[str, SecurityGroup]:
    """Return security groups by ID. Raises `AwsError`."""
    entries = read_filtered(aws, "ec2", "DescribeSecurityGroups", "SecurityGroups", "group-id", ids)
    return {
        raw["GroupId"]: SecurityGroup(
            raw["GroupId"],
            raw.get("VpcId", ""),
            tuple(to_rule(r) for r in raw.get("IpPermissions", ())),
            tuple(to_rule(r) for r in raw.get("IpPermissionsEgress", ())),
        )
        async for raw in entries
    }


async def describe_hosts(aws: Aws, ids: Iterable[str]) -> Mapping[str, Host]:
    """Return EC2 instances by ID. Raises `AwsError`."""
    reservations = read_filtered(
        aws, "ec2", "DescribeInstances", "Reservations", "instance-id", ids
    )
    return {
        raw["InstanceId"]: Host(
            raw["InstanceId"],
            raw.get("ImageId", ""),
            raw.get("InstanceType", ""),
            raw.get("SubnetId", ""),
            raw.get("VpcId", ""),
            raw.get("PrivateIpAddress", ""),
            frozenset(g["GroupId"] for g in raw.get("SecurityGroups", ())),
            bool(raw.get("PublicIpAddress")),
        )
        async for reservation in reservations
        for raw in reservation.get("Instances", ())
    }


async def fetch_image_names(aws: Aws, ids: Iterable[str]) -> Mapping[str, str]:
    """Return the names of AMIs by ID. Raises `AwsError`."""
    entries = read_filtered(aws, "ec2", "DescribeImages", "Images", "image-id", ids)
    return {raw["ImageId"]: raw.get("Name", "") async for raw in entries}
