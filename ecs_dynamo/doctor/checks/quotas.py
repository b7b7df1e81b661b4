"""Comparison of the account's quotas with the needs of the graph. Pure.

EC2 counts on-demand and spot instances by vCPU and family (EC2 user guide, "Amazon EC2 instance
type quotas"); new accounts often have none for G and P. Instances of others in the account count
too and are unknown here, so a quota that is enough for the graph alone is reported as ok.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ecs_dynamo.doctor.checks.base import (
    largest,
    on_instances,
    unknown,
)
from ecs_dynamo.doctor.checks.compute import known_sizes
from ecs_dynamo.model.capacity import InstanceSize
from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Snapshot, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.capacity.packing import resource_request

CHECK = "quotas"
SERVICES = ("ec2", "ecs", "fargate")
"""Service codes of Service Quotas."""
INSTANCE_QUOTAS: Mapping[str, tuple[str, str]] = {
    "g": ("Running On-Demand G and VT instances", "All G and VT Spot Instance Requests"),
    "p": ("Running On-Demand P instances", "All P4, P3 and P2 Spot Instance Requests"),
    "p5": ("Running On-Demand P instances", "All P5 Spot Instance Requests"),
    "p6": ("Running On-Demand P instances", "All P6 Spot Instance Requests"),
}
"""The on-demand and the spot quota in vCPUs, by an instance type's first letter, or with its
generation if that has its own spot quota (EC2 user guide, "Spot Instance quotas")."""
TASKS_PER_SERVICE = "Tasks per service"
FARGATE_VCPUS = "Fargate On-Demand vCPU resource count"


def quota_names() -> set[str]:
    """The names that `check_quotas` needs."""
    return {
        *(n for pair in INSTANCE_QUOTAS.values() for n in pair),
        TASKS_PER_SERVICE,
        FARGATE_VCPUS,
    }


@dataclass(frozen=True, slots=True)
class Demand:
    """vCPUs of GPU instances of one family in a cluster: ``now``, for the declared replicas
    (``least``) and for the maximum counts (``most``)."""

    cluster: str
    family: str
    now: int
    least: int
    most: int


def _instances_for(gpus: int, size: InstanceSize) -> int:
    return math.ceil(gpus / size.gpus) if size.gpus else 0


def _family(instance_type: str) -> str:
    """Return the key of the type's quotas in `INSTANCE_QUOTAS`: ``p5`` for p5en.48xlarge."""
    generation = instance_type[:2]
    return generation if generation in INSTANCE_QUOTAS else instance_type[:1]


def gpu_demand(graph: Graph, snapshot: Snapshot) -> Iterator[Demand]:
    """Return the demand by cluster and family, from the replicas' GPUs and the existing sizes."""
    for cluster in graph.clusters:
        users = [c for c in on_instances(graph, cluster) if gpus_of(c)]
        sizes = [s for s in known_sizes(graph, snapshot, cluster) or () if s.gpus]
        if not users or not sizes:
            continue
        size = max(sizes, key=lambda s: (s.gpus, s.cpu))
        instances = snapshot.container_instances[cluster]
        now = () if isinstance(instances, Unknown) else [i for i in instances if i.gpus]
        vcpus = size.cpu // 1024
        yield Demand(
            cluster,
            _family(size.instance_type),
            sum(i.cpu // 1024 for i in now),
            _instances_for(sum(gpus_of(c, size.gpus) * c.replicas for c in users), size) * vcpus,
            _instances_for(sum(gpus_of(c, size.gpus) * largest(c) for c in users), size) * vcpus,
        )


def check_quotas(
    graph: Graph, snapshot: Snapshot, quotas: Observed[Mapping[str, float]]
) -> Iterator[Finding]:
    """Check the quotas. ``quotas`` are the account's values by name; unreported ones are absent."""
    if isinstance(quotas, Unknown):
        yield unknown(CHECK, quotas)
        return
    yield from _gpus(gpu_demand(graph, snapshot), quotas)
    yield from _tasks(graph, quotas)
    fargate = [c for c in graph.components if c.launch_type is LaunchType.FARGATE]
    if fargate:
        vcpus = sum(resource_request(c.name, c.template).cpu * largest(c) for c in fargate) / 1024
        yield _compare(FARGATE_VCPUS, vcpus, vcpus, quotas, "vCPUs of Fargate")


def _gpus(demands: Iterable[Demand], quotas: Mapping[str, float]) -> Iterator[Finding]:
    for demand in demands:
        names = INSTANCE_QUOTAS.get(demand.family)
        what = f"vCPUs of {demand.family.upper()} instances for {demand.cluster}"
        if names is None:
            yield Finding(CHECK, Severity.UNKNOWN, f"no quota is known for {what}")
            continue
        # The account chooses spot or on-demand, so the larger quota limits the graph.
        name = max(names, key=lambda n: quotas.get(n, -1.0))
        least, most = max(demand.least, demand.now), max(demand.most, demand.now)
        yield _compare(name, least, most, quotas, what)


def _tasks(graph: Graph, quotas: Mapping[str, float]) -> Iterator[Finding]:
    widest = max(graph.components, key=largest)
    count = largest(widest)
    yield _compare(TASKS_PER_SERVICE, count, count, quotas, f"tasks of {widest.name}")


def _compare(
    name: str, least: float, most: float, quotas: Mapping[str, float], what: str
) -> Finding:
    """Compare a quota with the need of the declared replicas, and of the maximum counts."""
    have = quotas.get(name)
    if have is None:
        return Finding(CHECK, Severity.UNKNOWN, f"{name}: not reported by Service Quotas")
    text = f"{name}: {have:g}; the graph needs {least:g} {what}"
    if most > least:
        text += f", and {most:g} when scaled out"
    remedy = "request an increase in the Service Quotas console"
    if have < least:
        return Finding(CHECK, Severity.ERROR, text, remedy)
    if have < most:
        return Finding(CHECK, Severity.WARNING, text, f"{remedy}, or lower scaling.max")
    return Finding(CHECK, Severity.OK, text)
