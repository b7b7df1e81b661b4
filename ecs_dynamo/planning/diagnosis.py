"""What `doctor` makes of AWS's answers: findings with evidence and remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ecs_dynamo.model.graph import (
    ETCD_CLIENT_PORT,
    NATS_CLIENT_PORT,
    Component,
    Graph,
    NetworkMode,
    Role,
)
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Unknown
from ecs_dynamo.planning.capacity import gpus_of

Json = Mapping[str, Any]
MAX_SKEW_SECONDS = 60.0
REFUSED_SKEW_SECONDS = 300.0
"""AWS refuses signatures that are more than five minutes off."""


class Severity(StrEnum):
    """How bad a finding is. UNKNOWN: it could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: what was seen, and what to do about it."""

    check: str
    severity: Severity
    evidence: str
    remedy: str = ""


def _largest(component: Component) -> int:
    return max(component.replicas, component.scaling.max if component.scaling else 0)


def check_clusters(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """Each cluster is there."""
    for name in graph.clusters:
        seen = snapshot.clusters.get(name)
        if isinstance(seen, Unknown) or seen is None:
            reason = seen.reason if isinstance(seen, Unknown) else "not asked"
            yield Finding("clusters", Severity.UNKNOWN, f"{name}: {reason}")
        elif seen:
            yield Finding("clusters", Severity.OK, f"{name} is active")
        else:
            yield Finding(
                "clusters",
                Severity.ERROR,
                f"{name} does not exist",
                f"aws ecs create-cluster --cluster-name {name}, or name another under clusters",
            )


def check_gpus(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """The GPU slots of each cluster against what the graph needs, now and scaled out."""
    for cluster in graph.clusters:
        users = [c for c in graph.components if c.cluster == cluster and gpus_of(c)]
        if not users:
            continue
        seen = snapshot.container_instances.get(cluster)
        if seen is None or isinstance(seen, Unknown):
            yield Finding("gpus", Severity.UNKNOWN, f"{cluster}: instances not seen")
            continue
        yield from _slots(cluster, users, seen, _is_raised(graph, cluster))
        for instance in seen:
            if not instance.agent_connected:
                yield Finding(
                    "gpus",
                    Severity.WARNING,
                    f"{instance.ec2_instance_id}: its ECS agent is not connected",
                    "look at the agent's log on the instance, and its route to ECS",
                )


def _is_raised(graph: Graph, cluster: str) -> bool:
    """Whether the graph declares somebody who adds instances; `check_capacity` looks at who."""
    return any(g.cluster == cluster for g in graph.capacity.auto_scaling_groups) or any(
        c.cluster == cluster and c.capacity_providers for c in graph.components
    )


def _slots(
    cluster: str, users: Sequence[Component], seen: Sequence[ContainerInstance], raised: bool
) -> Iterator[Finding]:
    have = sum(i.gpus for i in seen if i.status == "ACTIVE" and i.agent_connected)
    least = sum(gpus_of(c) * c.replicas for c in users)
    most = sum(gpus_of(c) * _largest(c) for c in users)
    text = f"{cluster}: {have} GPU slots; the graph needs {least}, and {most} when scaled out"
    if have < most and raised:
        yield Finding("gpus", Severity.OK, f"{text}; instances are added as they are needed")
    elif have < least:
        yield Finding("gpus", Severity.ERROR, text, "add GPU instances with the ECS GPU AMI")
    elif have < most:
        yield Finding("gpus", Severity.WARNING, text, "add instances, or lower scaling.max")
    else:
        yield Finding("gpus", Severity.OK, text)
    widest = max((i.gpus for i in seen), default=0)
    for component in users:
        if gpus_of(component) > widest > 0:
            yield Finding(
                "gpus",
                Severity.ERROR,
                f"{component.name} needs {gpus_of(component)} GPUs on one instance; the largest "
                f"has {widest}",
                "use a larger instance type",
            )


def check_clock(here: float, there: float) -> Finding:
    """This machine's clock against AWS's (UTC seconds)."""
    skew = abs(here - there)
    text = f"{skew:.0f} s off AWS's clock"
    if skew > REFUSED_SKEW_SECONDS:
        return Finding("clock", Severity.ERROR, text, "set up time synchronisation (chrony)")
    if skew > MAX_SKEW_SECONDS:
        return Finding("clock", Severity.WARNING, text, "set up time synchronisation (chrony)")
    return Finding("clock", Severity.OK, text)


def _covers(rule: Json, port: int) -> bool:
    if rule.get("IpProtocol") == "-1":
        return True
    return rule.get("IpProtocol") == "tcp" and (
        rule.get("FromPort", 0) <= port <= rule.get("ToPort", 65535)
    )


def check_security_groups(graph: Graph, groups: Iterable[Json]) -> Iterator[Finding]:
    """The ports that must be open into components in awsvpc mode."""
    known = {group["GroupId"]: group for group in groups}
    for component in graph.components:
        if component.network_mode is not NetworkMode.AWSVPC:
            continue
        own = [known[g] for g in component.network.security_groups if g in known]
        for missing in set(component.network.security_groups) - set(known):
            yield Finding(
                "security groups",
                Severity.ERROR,
                f"{component.name}: {missing} does not exist",
                "correct network.securityGroups",
            )
        rules = [rule for group in own for rule in group.get("IpPermissions", ())]
        for role, port in (
            (Role.ETCD, ETCD_CLIENT_PORT),
            (Role.NATS, NATS_CLIENT_PORT),
            (Role.FRONTEND, graph.runtime.frontend_port),
        ):
            if role not in component.roles or not own:
                continue
            if any(_covers(rule, port) for rule in rules):
                yield Finding(
                    "security groups", Severity.OK, f"{component.name}: port {port} is open"
                )
            else:
                yield Finding(
                    "security groups",
                    Severity.ERROR,
                    f"{component.name}: no rule lets port {port} in",
                    f"allow TCP {port} from the GPU instances' and the daemon's security groups",
                )
        if component.is_worker and own and not any(_covers(r, 30_000) for r in rules):
            yield Finding(
                "security groups",
                Severity.WARNING,
                f"{component.name}: workers choose their own ports, and not all are open",
                "allow all TCP between the tasks' security groups",
            )


def check_subnets(graph: Graph, subnets: Iterable[Json], tables: Sequence[Json]) -> list[Finding]:
    """Each subnet is there and has a route to where images come from."""
    known = {subnet["SubnetId"]: subnet for subnet in subnets}
    wanted = sorted(
        {
            s
            for c in graph.components
            if c.network_mode is NetworkMode.AWSVPC
            for s in c.network.subnets
        }
    )
    findings = []
    for name in wanted:
        subnet = known.get(name)
        if subnet is None:
            text = f"{name} does not exist"
            findings.append(Finding("subnets", Severity.ERROR, text, "correct network.subnets"))
        elif _routed(name, subnet.get("VpcId"), tables):
            findings.append(Finding("subnets", Severity.OK, f"{name} has a default route"))
        else:
            findings.append(
                Finding(
                    "subnets",
                    Severity.WARNING,
                    f"{name} has no default route",
                    "add a NAT gateway, or VPC endpoints for ECR, S3 and CloudWatch Logs",
                )
            )
    return findings


def _routed(subnet: str, vpc: object, tables: Sequence[Json]) -> bool:
    own = [t for t in tables if any(a.get("SubnetId") == subnet for a in t["Associations"])]
    main = [
        t for t in tables if t.get("VpcId") == vpc and any(a.get("Main") for a in t["Associations"])
    ]
    return any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0"
        for table in own or main
        for route in table.get("Routes", ())
    )


def secret_references(graph: Graph) -> tuple[list[str], list[str]]:
    """(Secrets Manager ids, SSM parameter names) that the graph's tasks refer to."""
    secrets: set[str] = set()
    parameters: set[str] = set()
    for component in graph.components:
        for container in component.template.get("containerDefinitions", ()):
            found = [str(e["valueFrom"]) for e in container.get("secrets", ())]
            login = container.get("repositoryCredentials", {}).get("credentialsParameter")
            for reference in [*found, *([str(login)] if login else [])]:
                if ":secretsmanager:" in reference:
                    secrets.add(":".join(reference.split(":")[:7]))
                elif reference.startswith("arn:"):
                    parameters.add("/" + reference.split(":parameter/", 1)[-1])
                else:
                    parameters.add(reference)
    return sorted(secrets), sorted(parameters)
