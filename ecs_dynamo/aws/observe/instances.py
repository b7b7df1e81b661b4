"""Container instances and their addresses.

An ID that EC2 does not know must not hide the others. DescribeInstances rejects a whole request for
one unknown ID (InvalidInstanceID.NotFound) or malformed ID (InvalidInstanceID.Malformed), whereas
its filter `instance-id` omits unknown ones (EC2 API reference, DescribeInstances). ECS lists hosts
that were terminated while their agent was disconnected, and external instances, whose ID is that
of Systems Manager (``mi-...``; ECS API reference, ContainerInstance).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import to_container_instance
from ecs_dynamo.aws.observe.sightings import Sightings
from ecs_dynamo.aws.pages import batches, read_all, read_filtered
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import ContainerInstance, Observed, Unknown

INSTANCES_PER_CALL = 100
"""Container instances in one DescribeContainerInstances (ECS API reference)."""
_EC2_ID = re.compile(r"i-[0-9a-f]{8,17}")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The cluster's container instances, and the address of each by its ARN. None: EC2 knows of no
    address, and its agent is disconnected: it is gone."""

    instances: tuple[ContainerInstance, ...] = ()
    addresses: Mapping[str, Observed[str | None]] = field(default_factory=dict)


async def _describe(aws: Aws, cluster: str, arns: Sequence[str], *, tags: bool) -> list[Json]:
    more: Json = {"include": ["TAGS"]} if tags else {}
    instances: list[Json] = []
    for batch in batches(arns, INSTANCES_PER_CALL):
        answer = await aws.call(
            *("ecs", "DescribeContainerInstances"),
            cluster=cluster,
            containerInstances=batch,
            **more,
        )
        instances += [raw for raw in answer["containerInstances"] if raw["status"] != "INACTIVE"]
    return instances


async def _fetch_addresses(aws: Aws, ids: Iterable[str]) -> Mapping[str, str | None]:
    """Return the primary private address of each instance that EC2 knows."""
    reservations = read_filtered(
        aws, "ec2", "DescribeInstances", "Reservations", "instance-id", ids
    )
    return {
        instance["InstanceId"]: instance.get("PrivateIpAddress")
        async for reservation in reservations
        for instance in reservation["Instances"]
    }


async def _addresses(
    aws: Aws, raws: Sequence[Json], sightings: Sightings
) -> Mapping[str, Observed[str | None]]:
    """Return each container instance's address by ARN, asking EC2 for those not remembered."""
    queried = {
        raw["ec2InstanceId"]
        for raw in raws
        if sightings.address(raw["containerInstanceArn"]) is None
        and _EC2_ID.fullmatch(raw.get("ec2InstanceId", ""))
    }
    by_id: Mapping[str, str | None] = {}
    problem: str | None = None
    try:
        by_id = await _fetch_addresses(aws, queried)
    except AwsError as error:
        problem = str(error)
    addresses: dict[str, Observed[str | None]] = {}
    for raw in raws:
        arn, ec2_id = raw["containerInstanceArn"], raw.get("ec2InstanceId", "")
        address = sightings.address(arn) or by_id.get(ec2_id)
        if address is not None:
            sightings.remember_address(arn, address)
            addresses[arn] = address
        elif ec2_id not in queried:
            addresses[arn] = Unknown(f"{ec2_id or arn} is not an EC2 instance")
        elif problem is not None:
            addresses[arn] = Unknown(problem)
        elif raw.get("agentConnected", False):
            # EC2 reports a new instance later than its agent registers it.
            addresses[arn] = Unknown(f"EC2 does not know the address of {ec2_id} yet")
        else:
            addresses[arn] = None
    return addresses


def _hosts(raws: Iterable[Json], addresses: Mapping[str, Observed[str | None]]) -> Hosts:
    def known(arn: str) -> str | None:
        address = addresses[arn]
        return None if isinstance(address, Unknown) else address

    instances = (to_container_instance(raw, known(raw["containerInstanceArn"])) for raw in raws)
    return Hosts(tuple(instances), addresses)


async def describe_instances(aws: Aws, cluster: str, sightings: Sightings, *, tags: bool) -> Hosts:
    """Return all container instances of a cluster, with their ``tags`` if these are needed.

    Instances of the last pass are described by name if the list omits them. Raises `AwsError`.
    """
    listed = await read_all(
        *(aws, "ecs", "ListContainerInstances", "containerInstanceArns"),
        cluster=cluster,
        maxResults=100,
    )
    arns = sorted({*listed, *sightings.remembered("instances", cluster)})
    raws = await _describe(aws, cluster, arns, tags=tags) if arns else []
    sightings.remember((raw["containerInstanceArn"] for raw in raws), "instances", cluster)
    for raw in raws:
        sightings.confirm("container instance", raw["containerInstanceArn"])
    return _hosts(raws, await _addresses(aws, raws, sightings))


async def with_instances_of(
    aws: Aws, cluster: str, sightings: Sightings, known: Hosts, tasks: Iterable[Json], *, tags: bool
) -> Hosts:
    """Return ``known`` with the instances of ``tasks`` that no list showed.

    Raises `AwsError`, also if ECS does not know an instance of a task that existed a moment ago:
    with fewer instances a further replica would seem unschedulable.
    """
    needed = {arn for t in tasks if (arn := t.get("containerInstanceArn"))}
    arns = sorted(needed - {i.arn for i in known.instances})
    if not arns:
        return known
    raws = await _describe(aws, cluster, arns, tags=tags)
    lost = sorted(set(arns) - {raw["containerInstanceArn"] for raw in raws})
    doubts = [
        d for arn in lost if (d := sightings.doubt_absence("container instance", arn)) is not None
    ]
    if doubts:
        raise AwsError("DescribeContainerInstances", "Contradiction", doubts[0])
    names = {
        *sightings.remembered("instances", cluster),
        *(r["containerInstanceArn"] for r in raws),
    }
    sightings.remember(names, "instances", cluster)
    more = _hosts(raws, await _addresses(aws, raws, sightings))
    return Hosts((*known.instances, *more.instances), {**known.addresses, **more.addresses})


def address_of(instance: str, hosts: Observed[Hosts], sightings: Sightings) -> Observed[str | None]:
    """Return the address of a task's container instance."""
    remembered = sightings.address(instance)
    if remembered is not None:
        return remembered
    if isinstance(hosts, Unknown):
        return hosts
    name = resource_name(instance)
    # The instance was requested by name, and ECS no longer knows it.
    return hosts.addresses.get(instance, Unknown(f"ECS does not know container instance {name}"))
