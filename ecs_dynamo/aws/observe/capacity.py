"""Capacity providers and Auto Scaling groups, observed only where they are declared.

Facts from the API references: DescribeCapacityProviders returns 10 per page,
DescribeAutoScalingGroups takes 50 names and DescribeInstanceTypes 100. Only DescribeWarmPool lists
the instances of a warm pool, 50 per page; they are not capacity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import batches, read_all, read_pages
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.capacity import (
    AGENT_SHARE,
    AutoScalingGroup,
    CapacityProvider,
    GroupInstance,
    InstanceSize,
)
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import ContainerInstance, Observed, Unknown
from ecs_dynamo.model.spec.capacity import (
    FARGATE_PROVIDERS,
)

GROUPS_PER_CALL = 50
PROVIDERS_PER_CALL = 100
TYPES_PER_CALL = 100

Json = dict[str, Any]


def to_provider(raw: Mapping[str, Any]) -> CapacityProvider:
    """Convert a DescribeCapacityProviders entry; older answers show the type by their members."""
    own = raw.get("autoScalingGroupProvider") or {}
    name = raw["name"]
    provider_type = raw.get("type") or (
        "MANAGED_INSTANCES"
        if raw.get("managedInstancesProvider")
        else "EC2_AUTOSCALING"
        if own
        else name
    )
    arn = own.get("autoScalingGroupArn")
    return CapacityProvider(
        name=name,
        status=raw.get("status", "ACTIVE"),
        type=provider_type,
        group=resource_name(arn) if arn else None,
        managed_scaling=own.get("managedScaling", {}).get("status") == "ENABLED",
    )


async def describe_providers(
    aws: Aws,
    graph: Graph,
    clusters: Sequence[str],
    attached: Mapping[str, Sequence[str] | None],
) -> Mapping[str, CapacityProvider]:
    """Return the declared capacity providers that ``clusters`` have, by name. Raises `AwsError`.

    Where an Auto Scaling group is declared, these are all providers of its cluster, since one that
    no component names may size the group too. ``attached`` has the names that DescribeClusters
    reports for each cluster; None if its answer lacks them, which does not prove that there are
    none.
    """
    by_cluster: dict[str, set[str]] = {}
    for component in graph.components:
        names = {p.name for p in component.capacity_providers}
        if names and component.cluster in clusters:
            by_cluster.setdefault(component.cluster, set()).update(names)
    for cluster in {g.cluster for g in graph.capacity.auto_scaling_groups if g.cluster in clusters}:
        others = attached.get(str(cluster))
        if others is None:
            what = f"the answer has no capacityProviders of cluster {cluster}"
            raise AwsError("DescribeClusters", "BadAnswer", what)
        # Fargate's own have no group.
        by_cluster.setdefault(str(cluster), set()).update(set(others) - FARGATE_PROVIDERS)
    active: dict[str, CapacityProvider] = {}
    for cluster, names in by_cluster.items():
        for batch in batches(sorted(names), PROVIDERS_PER_CALL):
            answered: set[str] = set()
            # With the name of the cluster, providers of Managed Instances are returned too.
            async for answer in read_pages(
                *(aws, "ecs", "DescribeCapacityProviders"), capacityProviders=batch, cluster=cluster
            ):
                providers = [to_provider(raw) for raw in answer["capacityProviders"]]
                answered |= {p.name for p in providers}
                answered |= {resource_name(f.get("arn", "")) for f in answer.get("failures", ())}
                active |= {p.name: p for p in providers if p.status == "ACTIVE"}
            absent = [name for name in batch if resource_name(name) not in answered]
            if absent:
                what = f"the answer does not mention {absent[0]}"
                raise AwsError("DescribeCapacityProviders", "BadAnswer", what)
    return active


class InstanceSizes:
    """Sizes of instance types, which never change and are requested once."""

    def __init__(self) -> None:
        self._known: dict[str, InstanceSize] = {}

    async def of(self, aws: Aws, types: Sequence[str]) -> tuple[InstanceSize, ...]:
        """Return the least sizes that the ECS agent will register. Raises `AwsError`."""
        unknown = sorted({t for t in types if t not in self._known})[:TYPES_PER_CALL]
        if unknown:
            answer = await aws.call("ec2", "DescribeInstanceTypes", InstanceTypes=unknown)
            for raw in answer.get("InstanceTypes", []):
                gpus = raw.get("GpuInfo", {}).get("Gpus", ())
                self._known[raw["InstanceType"]] = InstanceSize(
                    raw["InstanceType"],
                    # ECS counts devices, and a type with a part of a GPU has one device ("Total
                    # number of GPU devices", EC2's service model).
                    sum(int(g.get("LogicalGpuCount") or g.get("Count", 0)) for g in gpus),
                    int(raw["VCpuInfo"]["DefaultVCpus"]) * 1024,
                    int(int(raw["MemoryInfo"]["SizeInMiB"]) * AGENT_SHARE),
                )
        return tuple(self._known[t] for t in types if t in self._known)


async def _types(aws: Aws, raw: Mapping[str, Any]) -> list[str]:
    """Return the instance types that the group launches."""
    mixed = raw.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    overrides = [o["InstanceType"] for o in mixed.get("Overrides", ()) if o.get("InstanceType")]
    if overrides:
        return list(dict.fromkeys(overrides))
    running = [i["InstanceType"] for i in raw.get("Instances", ()) if i.get("InstanceType")]
    if running:
        return sorted(set(running))
    template = raw.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
    if not template:
        return []
    answer = await aws.call(
        "ec2",
        "DescribeLaunchTemplateVersions",
        LaunchTemplateId=template["LaunchTemplateId"],
        Versions=[template.get("Version") or "$Default"],
    )
    types = [
        v.get("LaunchTemplateData", {}).get("InstanceType")
        for v in answer.get("LaunchTemplateVersions", ())
    ]
    return [t for t in types if t]


async def _warm(aws: Aws, raw: Mapping[str, Any]) -> int:
    """Return the number of instances in the group's warm pool that are ready for use."""
    if not raw.get("WarmPoolConfiguration"):
        return 0
    instances = await read_all(
        *(aws, "autoscaling", "DescribeWarmPool", "Instances"),
        AutoScalingGroupName=raw["AutoScalingGroupName"],
    )
    states = [i.get("LifecycleState", "") for i in instances]
    return sum(s.startswith("Warmed:") and "Terminat" not in s for s in states)


async def _to_group(aws: Aws, raw: Mapping[str, Any], sizes: InstanceSizes) -> AutoScalingGroup:
    return AutoScalingGroup(
        name=raw["AutoScalingGroupName"],
        desired=raw["DesiredCapacity"],
        min_size=raw["MinSize"],
        max_size=raw["MaxSize"],
        instances=tuple(
            GroupInstance(i["InstanceId"], i.get("LifecycleState", ""), i.get("AvailabilityZone"))
            for i in raw.get("Instances", ())
            if not i.get("LifecycleState", "").startswith("Warmed:")
        ),
        warm=await _warm(aws, raw),
        sizes=await sizes.of(aws, await _types(aws, raw)),
        zones=tuple(raw.get("AvailabilityZones", ())),
        suspended=frozenset(p.get("ProcessName", "") for p in raw.get("SuspendedProcesses", ())),
    )


async def describe_auto_scaling_groups(
    aws: Aws, graph: Graph, sizes: InstanceSizes
) -> Mapping[str, AutoScalingGroup]:
    """Return the declared Auto Scaling groups that exist, by name. Raises `AwsError`."""
    names = [g.name for g in graph.capacity.auto_scaling_groups]
    by_name: dict[str, AutoScalingGroup] = {}
    for batch in batches(names, GROUPS_PER_CALL):
        groups = await read_all(
            *(aws, "autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroups"),
            AutoScalingGroupNames=batch,
            MaxRecords=100,
        )
        for raw in groups:
            if raw.get("Status") is None:  # Otherwise it is being deleted.
                group = await _to_group(aws, raw, sizes)
                by_name[group.name] = group
    return by_name


async def list_daemon_groups(aws: Aws, cluster: str) -> frozenset[str]:
    """Return the task groups of the cluster's DAEMON services. Raises `AwsError`."""
    arns = await read_all(
        *(aws, "ecs", "ListServices", "serviceArns"),
        cluster=cluster,
        schedulingStrategy="DAEMON",
        maxResults=100,
    )
    return frozenset(f"service:{resource_name(arn)}" for arn in arns)


def count_daemons(
    instances: Observed[tuple[ContainerInstance, ...]],
    running: Observed[list[Json]],
    groups: Observed[frozenset[str]],
) -> Observed[tuple[ContainerInstance, ...]]:
    """Return the instances with the number of their tasks that belong to DAEMON services.

    Such tasks do not keep an instance busy. While the number is unknown, every task counts, and no
    instance is terminated.
    """
    if isinstance(instances, Unknown) or isinstance(running, Unknown):
        return instances
    if isinstance(groups, Unknown):
        return instances
    daemons = Counter(
        t["containerInstanceArn"]
        for t in running
        if t.get("containerInstanceArn") and t.get("group") in groups
    )
    return tuple(replace(i, daemons=daemons[i.arn]) for i in instances)
