"""Container instances and their addresses.

An id that EC2 does not know must not hide the others: DescribeInstances refuses a whole request for
one unknown id (InvalidInstanceID.NotFound) or malformed one (InvalidInstanceID.Malformed), and its
filter `instance-id` leaves out what it does not know (EC2 API reference, DescribeInstances). ECS
lists hosts that were terminated while their agent was disconnected, and external instances, whose
id is that of Systems Manager (``mi-...``; ECS API reference, ContainerInstance).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import to_container_instance
from ecs_dynamo.aws.observe.sightings import Sightings
from ecs_dynamo.aws.pages import read_all
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import ContainerInstance, Observed, Unknown

INSTANCES_PER_CALL = 100
"""Container instances in one DescribeContainerInstances (ECS API reference)."""
FILTER_VALUES = 200
"""Values in one filter (EC2 API reference)."""
_EC2_ID = re.compile(r"i-[0-9a-f]{8,17}")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The cluster's container instances, and the address of each by its ARN. None: EC2 knows of no
    address, and its agent is disconnected: it is gone."""

    instances: tuple[ContainerInstance, ...] = ()
    addresses: Mapping[str, Observed[str | None]] = field(default_factory=dict)


async def _describe(aws: Aws, cluster: str, arns: Sequence[str], tags: bool) -> list[Json]:
    more: Json = {"include": ["TAGS"]} if tags else {}
    found: list[Json] = []
    for start in range(0, len(arns), INSTANCES_PER_CALL):
        answer = await aws.call(
            *("ecs", "DescribeContainerInstances"),
            cluster=cluster,
            containerInstances=list(arns[start : start + INSTANCES_PER_CALL]),
            **more,
        )
        found += [raw for raw in answer["containerInstances"] if raw["status"] != "INACTIVE"]
    return found


async def _ask_ec2(aws: Aws, ids: Sequence[str]) -> Mapping[str, str | None]:
    """The primary private address of each instance that EC2 knows."""
    found: dict[str, str | None] = {}
    for start in range(0, len(ids), FILTER_VALUES):
        named = [{"Name": "instance-id", "Values": list(ids[start : start + FILTER_VALUES])}]
        for reservation in await read_all(
            aws, "ec2", "DescribeInstances", "Reservations", Filters=named
        ):
            for instance in reservation["Instances"]:
                found[instance["InstanceId"]] = instance.get("PrivateIpAddress")
    return found


async def _addresses(
    aws: Aws, raws: Sequence[Json], sightings: Sightings
) -> Mapping[str, Observed[str | None]]:
    asked = {
        raw["ec2InstanceId"]
        for raw in raws
        if sightings.address(raw["containerInstanceArn"]) is None
        and _EC2_ID.fullmatch(raw.get("ec2InstanceId", ""))
    }
    told: Mapping[str, str | None] = {}
    problem: str | None = None
    try:
        told = await _ask_ec2(aws, sorted(asked)) if asked else {}
    except AwsError as error:
        problem = str(error)
    found: dict[str, Observed[str | None]] = {}
    for raw in raws:
        arn, ec2_id = raw["containerInstanceArn"], raw.get("ec2InstanceId", "")
        address = sightings.address(arn) or told.get(ec2_id)
        if address is not None:
            sightings.remember_address(arn, address)
            found[arn] = address
        elif ec2_id not in asked:
            found[arn] = Unknown(f"{ec2_id or arn} is no EC2 instance")
        elif problem is not None:
            found[arn] = Unknown(problem)
        elif raw.get("agentConnected", False):
            # EC2 tells of a new instance later than its agent does.
            found[arn] = Unknown(f"EC2 does not know the address of {ec2_id} yet")
        else:
            found[arn] = None
    return found


def _hosts(raws: Iterable[Json], addresses: Mapping[str, Observed[str | None]]) -> Hosts:
    def known(arn: str) -> str | None:
        address = addresses[arn]
        return None if isinstance(address, Unknown) else address

    made = (to_container_instance(raw, known(raw["containerInstanceArn"])) for raw in raws)
    return Hosts(tuple(made), addresses)


async def describe_instances(aws: Aws, cluster: str, sightings: Sightings, tags: bool) -> Hosts:
    """All container instances of a cluster; ``tags``: with theirs. Raises `AwsError`.

    Those that were there at the last look are asked for by name where the list lacks them.
    """
    listed = await read_all(
        *(aws, "ecs", "ListContainerInstances", "containerInstanceArns"),
        cluster=cluster,
        maxResults=100,
    )
    arns = sorted({*listed, *sightings.remembered("instances", cluster)})
    raws = await _describe(aws, cluster, arns, tags) if arns else []
    sightings.remember((raw["containerInstanceArn"] for raw in raws), "instances", cluster)
    for raw in raws:
        sightings.confirm("container instance", raw["containerInstanceArn"])
    return _hosts(raws, await _addresses(aws, raws, sightings))


async def with_instances_of(
    aws: Aws, cluster: str, sightings: Sightings, tags: bool, found: Hosts, tasks: Iterable[Json]
) -> Hosts:
    """``found`` with the instances that ``tasks`` run on and no list showed.

    Raises `AwsError`, also where tasks run on an instance that was there a moment ago and that ECS
    does not know: with fewer instances there would seem to be no room for one more replica.
    """
    needed = {arn for t in tasks if (arn := t.get("containerInstanceArn"))}
    arns = sorted(needed - {i.arn for i in found.instances})
    if not arns:
        return found
    raws = await _describe(aws, cluster, arns, tags)
    lost = sorted(set(arns) - {raw["containerInstanceArn"] for raw in raws})
    doubts = [
        d for arn in lost if (d := sightings.doubt_absence("container instance", arn)) is not None
    ]
    if doubts:
        raise AwsError("DescribeContainerInstances", "Contradiction", doubts[0])
    known = {
        *sightings.remembered("instances", cluster),
        *(r["containerInstanceArn"] for r in raws),
    }
    sightings.remember(known, "instances", cluster)
    more = _hosts(raws, await _addresses(aws, raws, sightings))
    return Hosts((*found.instances, *more.instances), {**found.addresses, **more.addresses})


def address_of(instance: str, hosts: Observed[Hosts], sightings: Sightings) -> Observed[str | None]:
    """The address of a task's container instance."""
    remembered = sightings.address(instance)
    if remembered is not None:
        return remembered
    if isinstance(hosts, Unknown):
        return hosts
    name = resource_name(instance)
    # ECS was asked for it by name, and knows it no more.
    return hosts.addresses.get(instance, Unknown(f"ECS does not know container instance {name}"))
