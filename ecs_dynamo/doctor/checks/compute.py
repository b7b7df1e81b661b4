"""Checks of clusters and their GPU instances: slots, sizes, AMI, agent. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ecs_dynamo.doctor.checks.base import (
    largest,
    listed,
    on_instances,
    unknown,
)
from ecs_dynamo.model.capacity import InstanceSize
from ecs_dynamo.model.doctor import Finding, Host, RecommendedImage, Severity
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.snapshot import ContainerInstance, Observed, Snapshot, Unknown
from ecs_dynamo.planning.capacity.packing import (
    fits_empty,
    resource_request,
)
from ecs_dynamo.planning.capacity.shortage import observed_sizes

ECS_GPU_IMAGE = re.compile(
    r"(amzn2-ami-ecs-gpu-hvm-|al2023-ami-ecs-gpu-hvm-|bottlerocket-aws-ecs-\d+-nvidia)"
)
"""Names of AWS's AMIs for ECS with NVIDIA's driver (ECS developer guide, "Amazon ECS-optimized
Linux AMIs")."""
GPU_TYPE = re.compile(r"(g|p)\d")
LEAST_AGENT = (1, 24, 0)
"""The minimum version of the ECS agent for GPU tasks (ECS developer guide, "GPU workloads")."""


def check_clusters(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """Check that each cluster exists."""
    for name in graph.clusters:
        exists = snapshot.clusters.get(name)
        if isinstance(exists, Unknown) or exists is None:
            reason = exists.reason if isinstance(exists, Unknown) else "not checked"
            yield Finding("clusters", Severity.UNKNOWN, f"{name}: {reason}")
        elif exists:
            yield Finding("clusters", Severity.OK, f"{name} is active")
        else:
            yield Finding(
                "clusters",
                Severity.ERROR,
                f"{name} does not exist",
                f"aws ecs create-cluster --cluster-name {name}, or name another under clusters",
            )


def check_gpus(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """Compare the GPU slots of each cluster with the graph's needs, now and at its maximum."""
    for cluster in graph.clusters:
        users = [c for c in graph.components if c.cluster == cluster and gpus_of(c)]
        if not users:
            continue
        instances = snapshot.container_instances.get(cluster)
        if instances is None or isinstance(instances, Unknown):
            yield Finding("gpus", Severity.UNKNOWN, f"{cluster}: instances not observed")
            continue
        yield _slots(cluster, users, instances, raised=_is_raised(graph, cluster))


def _is_raised(graph: Graph, cluster: str) -> bool:
    """Whether the graph declares that instances are added; `check_capacity` checks by what."""
    return any(g.cluster == cluster for g in graph.capacity.auto_scaling_groups) or any(
        c.cluster == cluster and c.capacity_providers for c in graph.components
    )


def _slots(
    cluster: str,
    users: Sequence[Component],
    instances: Sequence[ContainerInstance],
    *,
    raised: bool,
) -> Finding:
    slots = [i.gpus for i in instances if i.status == "ACTIVE" and i.agent_connected]
    have, each = sum(slots), max(slots, default=1)
    least = sum(gpus_of(c, each) * c.replicas for c in users)
    most = sum(gpus_of(c, each) * largest(c) for c in users)
    text = f"{cluster}: {have} GPU slots; the graph needs {least}, and {most} when scaled out"
    if have < most and raised:
        return Finding("gpus", Severity.OK, f"{text}; instances are added as they are needed")
    if have < least:
        return Finding("gpus", Severity.ERROR, text, "add GPU instances with the ECS GPU AMI")
    if have < most:
        return Finding("gpus", Severity.WARNING, text, "add instances, or lower scaling.max")
    return Finding("gpus", Severity.OK, text)


def known_sizes(
    graph: Graph, snapshot: Snapshot, cluster: str
) -> dict[InstanceSize, Mapping[str, str]] | None:
    """Return the sizes of the cluster's instances and of those that its groups launch, or None."""
    instances = snapshot.container_instances.get(cluster)
    if instances is None or isinstance(instances, Unknown):
        return None
    sizes = dict(observed_sizes(instances))
    if not isinstance(snapshot.groups, Unknown):
        names = [g.name for g in graph.capacity.auto_scaling_groups if g.cluster == cluster]
        for group in (snapshot.groups[n] for n in names if n in snapshot.groups):
            sizes |= {s: {} for s in group.sizes if s not in sizes}
    return sizes


def check_sizes(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """Check that a replica of each component fits on an empty instance of an existing type."""
    for component in on_instances(graph):
        sizes = known_sizes(graph, snapshot, component.cluster)
        need = resource_request(component.name, component.template)
        gpus = "all" if need.all_gpus else need.gpus
        wants = f"{gpus} GPUs, {need.cpu} CPU units, {need.memory} MiB"
        text = f"{component.name} needs {wants}"
        if not sizes:
            why = "not observed" if sizes is None else "none yet"
            text += f"; instances of {component.cluster}: {why}"
            yield Finding("sizes", Severity.UNKNOWN, text)
        elif any(fits_empty(need, size, known) for size, known in sizes.items()):
            yield Finding("sizes", Severity.OK, text)
        else:
            have = (f"{s.instance_type} ({s.gpus}, {s.cpu}, {s.memory})" for s in sizes)
            text += f" on one instance; {component.cluster} has {listed(have)}"
            # The instance type of a provider's group is not read, and may be larger.
            severity = Severity.UNKNOWN if component.capacity_providers else Severity.ERROR
            yield Finding(
                "sizes", severity, text, "use a larger instance type, or reduce the request"
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text)[:3])


def check_instances(
    graph: Graph,
    snapshot: Snapshot,
    hosts: Mapping[str, Observed[tuple[Host, ...]]],
    images: Observed[Mapping[str, str]],
    recommended: Observed[tuple[RecommendedImage, ...]],
) -> Iterator[Finding]:
    """Check that agents are connected and new enough, and that GPU instances have a GPU AMI.

    ``images`` are AMI names by id.
    """
    for cluster in graph.clusters:
        instances = snapshot.container_instances.get(cluster)
        if instances is None or isinstance(instances, Unknown) or not instances:
            continue  # `check_gpus` and `check_sizes` report it.
        gpus = any(c.cluster == cluster and gpus_of(c) for c in graph.components)
        yield from _agents(cluster, instances, recommended, gpus=gpus)
        if gpus:
            yield from _images(cluster, instances, hosts, images, recommended)


def _agents(
    cluster: str,
    instances: Sequence[ContainerInstance],
    recommended: Observed[tuple[RecommendedImage, ...]],
    *,
    gpus: bool,
) -> Iterator[Finding]:
    lost = [i.ec2_instance_id for i in instances if not i.agent_connected]
    if lost:
        yield Finding(
            "agents",
            Severity.ERROR if len(lost) == len(instances) else Severity.WARNING,
            f"{cluster}: the ECS agent of {listed(lost)} is not connected",
            "check the agent's log on the instance, and its route to ECS",
        )
    old = [
        f"{i.ec2_instance_id} ({i.agent_version})"
        for i in instances
        if gpus and i.agent_version and _version(i.agent_version) < LEAST_AGENT
    ]
    if old:
        least = ".".join(map(str, LEAST_AGENT))
        text = f"{cluster}: the ECS agent of {listed(old)} is older than {least}: no GPU tasks"
        yield Finding("agents", Severity.ERROR, text, "use a newer AMI")
    if not lost and not old:
        versions = {i.agent_version for i in instances if i.agent_version}
        newest = "" if isinstance(recommended, Unknown) or not recommended else recommended[0].agent
        text = (
            f"{cluster}: {len(instances)} connected, version {listed(versions) or 'not reported'}"
        )
        if newest:
            text += f"; AWS's newest AMI has {newest}"
        yield Finding("agents", Severity.OK if versions else Severity.UNKNOWN, text)


def _images(
    cluster: str,
    instances: Sequence[ContainerInstance],
    hosts: Mapping[str, Observed[tuple[Host, ...]]],
    images: Observed[Mapping[str, str]],
    recommended: Observed[tuple[RecommendedImage, ...]],
) -> Iterator[Finding]:
    blind = [
        f"{i.ec2_instance_id} ({i.instance_type})"
        for i in instances
        if not i.gpus and GPU_TYPE.match(i.instance_type or "")
    ]
    if blind:
        yield Finding(
            "ami",
            Severity.ERROR,
            f"{cluster}: {listed(blind)} registered no GPU",
            "use the ECS GPU-optimized AMI; or NVIDIA's driver and ECS_ENABLE_GPU_SUPPORT=true",
        )
    cluster_hosts = hosts.get(cluster, Unknown(f"{cluster}: instances not observed"))
    if isinstance(cluster_hosts, Unknown):
        yield unknown("ami", cluster_hosts)
        return
    if isinstance(images, Unknown):
        yield unknown("ami", images)
        return
    newest = {} if isinstance(recommended, Unknown) else {r.id: r for r in recommended}
    with_gpus = {i.ec2_instance_id for i in instances if i.gpus}
    for image in sorted({h.image for h in cluster_hosts if h.id in with_gpus}):
        name = images.get(image)
        text = f"{cluster}: {image} {name or '(no longer available)'}"
        if image in newest or (name and ECS_GPU_IMAGE.match(name)):
            comparison = (
                ""
                if not newest
                else "; AWS's newest"
                if image in newest
                else (f"; AWS's newest is {listed(r.name for r in newest.values())}")
            )
            yield Finding("ami", Severity.OK, f"{text}{comparison}")
        elif name is None:
            yield Finding("ami", Severity.UNKNOWN, text, "new instances cannot use it")
        else:
            yield Finding(
                "ami",
                Severity.WARNING,
                f"{text} is not AWS's ECS GPU-optimized AMI",
                "make sure that it has the ECS agent, NVIDIA's driver and its container toolkit",
            )
