"""Checks of subnets, and of routes from where tasks start to registries, logs and secrets. Pure.

Images are pulled, logs written and secrets read by Fargate through the task's own interface, and by
the ECS agent through the instance's (ECS developer guide, "Fargate task networking" and "Task
networking for EC2"). On EC2 a task's own interface never has a public address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.doctor.checks.base import (
    largest,
    listed,
    on_instances,
    unknown,
)
from ecs_dynamo.model.doctor import Finding, Host, RouteTable, Severity, Subnet, VpcEndpoint
from ecs_dynamo.model.ecs.secrets import secret_values
from ecs_dynamo.model.ecs.task_definition import (
    containers_of,
    ecr_image,
)
from ecs_dynamo.model.graph import Component, Graph, NetworkMode
from ecs_dynamo.model.snapshot import Observed, Unknown
from ecs_dynamo.model.spec.service import LaunchType

EVERYWHERE = "0.0.0.0/0"


def own_interfaces(graph: Graph) -> list[Component]:
    """Return the components whose tasks have their own network interface."""
    return [c for c in graph.components if c.network_mode is NetworkMode.AWSVPC]


def check_subnets(graph: Graph, subnets: Observed[Mapping[str, Subnet]]) -> Iterator[Finding]:
    """Check that each declared subnet exists, in one VPC per component, with free addresses."""
    components = own_interfaces(graph)
    if isinstance(subnets, Unknown):
        if components:
            yield unknown("subnets", subnets)
        return
    declared = sorted({s for c in components for s in c.network.subnets})
    for name in declared:
        if name not in subnets:
            text = f"{name} does not exist"
            yield Finding("subnets", Severity.ERROR, text, "correct network.subnets")
    for component in components:
        existing = [subnets[s] for s in component.network.subnets if s in subnets]
        vpcs = {s.vpc for s in existing}
        if len(vpcs) > 1:
            yield Finding(
                "subnets",
                Severity.ERROR,
                f"{component.name}: its subnets are in several VPCs ({listed(vpcs)})",
                "use subnets of one VPC",
            )
        if not existing:
            continue
        free, most = sum(s.free for s in existing), largest(component)
        text = f"{component.name}: {free} free addresses in {listed(s.id for s in existing)}"
        if free == 0:
            yield Finding("subnets", Severity.ERROR, text, "free some, or add a subnet")
        elif free < most:
            text += f"; it may have {most} tasks"
            yield Finding("subnets", Severity.WARNING, text, "add a subnet, or lower scaling.max")
        else:
            yield Finding("subnets", Severity.OK, text)


@dataclass(frozen=True, slots=True)
class _Needs:
    """AWS services and registries that must be reachable from where tasks of ``users`` start."""

    users: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    registries: frozenset[str] = frozenset()
    without_public_ip: frozenset[str] = frozenset()

    def __or__(self, other: _Needs) -> _Needs:
        return _Needs(
            self.users | other.users,
            self.services | other.services,
            self.registries | other.registries,
            self.without_public_ip | other.without_public_ip,
        )


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first) else "docker.io"


def _needs(component: Component, *, public: bool) -> _Needs:
    """Return the needs of a component's tasks. ``public``: they start with a public address."""
    containers = containers_of(component)
    images = [str(container.get("image", "")) for container in containers]
    services = {
        "secretsmanager" if ":secretsmanager:" in reference else "ssm"
        for reference in secret_values(component)
    }
    if any(ecr_image(image) for image in images):
        services |= {"ecr.api", "ecr.dkr", "s3"}
    if any(c.get("logConfiguration", {}).get("logDriver") == "awslogs" for c in containers):
        services.add("logs")
    name = frozenset({component.name})
    return _Needs(
        users=name,
        services=frozenset(services),
        registries=frozenset(_registry(i) for i in images if i and not ecr_image(i)),
        without_public_ip=frozenset() if public else name,
    )


def _needs_by_subnet(graph: Graph, hosts: Mapping[str, Sequence[Host]]) -> dict[str, _Needs]:
    """Return the needs of each subnet, by its ID. ``hosts`` are the instances of each cluster."""
    by_subnet: dict[str, _Needs] = {}
    for component in graph.components:
        if component.launch_type is LaunchType.FARGATE:
            public = component.network.assign_public_ip
            starts = {(subnet, public) for subnet in component.network.subnets}
        else:
            starts = {(host.subnet, host.public) for host in hosts.get(component.cluster, ())}
        for subnet, public in starts:
            needs = _needs(component, public=public)
            by_subnet[subnet] = by_subnet.get(subnet, _Needs()) | needs
    return by_subnet


def _table(subnet: Subnet, tables: Iterable[RouteTable]) -> RouteTable | None:
    here = [t for t in tables if t.vpc == subnet.vpc]
    own = next((t for t in here if subnet.id in t.subnets), None)
    return own or next((t for t in here if t.main), None)


def check_routes(
    graph: Graph,
    subnets: Observed[Mapping[str, Subnet]],
    tables: Observed[tuple[RouteTable, ...]],
    endpoints: Observed[tuple[VpcEndpoint, ...]],
    hosts: Mapping[str, Observed[tuple[Host, ...]]],
) -> Iterator[Finding]:
    """Check the routes from each subnet in which tasks start to registries, logs and secrets."""
    known: dict[str, Sequence[Host]] = {}
    for cluster, cluster_hosts in hosts.items():
        if isinstance(cluster_hosts, Unknown):
            yield unknown("routes", cluster_hosts)
        elif not cluster_hosts and on_instances(graph, cluster):
            text = f"{cluster} has no instance yet: it is unknown where its tasks start"
            yield Finding("routes", Severity.UNKNOWN, text, "run doctor again once it has one")
        else:
            known[cluster] = cluster_hosts
    needs_by_subnet = _needs_by_subnet(graph, known)
    if not needs_by_subnet:
        return
    if isinstance(subnets, Unknown):
        yield unknown("routes", subnets)
        return
    if isinstance(tables, Unknown):
        yield unknown("routes", tables)
        return
    for name, needs in sorted(needs_by_subnet.items()):
        if name in subnets:
            yield _route(subnets[name], needs, _table(subnets[name], tables), endpoints)


def _route(
    subnet: Subnet,
    needs: _Needs,
    table: RouteTable | None,
    endpoints: Observed[tuple[VpcEndpoint, ...]],
) -> Finding:
    """Check one subnet: its default route, or its VPC endpoints."""
    check, users = "routes", listed(needs.users)
    default = (
        next((r for r in table.routes if r.destination == EVERYWHERE), None) if table else None
    )
    if default is not None and not default.active:
        text = f"{subnet.id} ({users}): its default route's {default.target} is gone (blackhole)"
        return Finding(check, Severity.ERROR, text, "replace the route")
    if default is not None:
        kind = default.target.split("-")[0]
        text = f"{subnet.id} ({users}): default route to {default.target}"
        if kind == "nat":
            return Finding(check, Severity.OK, text)
        if kind == "igw" and not needs.without_public_ip:
            return Finding(check, Severity.OK, f"{text}, with public addresses")
        if kind == "igw":
            return Finding(
                check,
                Severity.ERROR,
                f"{text}, but {listed(needs.without_public_ip)} has no public address",
                "use a subnet behind a NAT gateway; or assignPublicIp on Fargate",
            )
        text += "; the route beyond it is not checked"
        return Finding(check, Severity.UNKNOWN, text, "pull an image from there manually")
    if needs.registries:
        return Finding(
            check,
            Severity.ERROR,
            f"{subnet.id} ({users}): no default route to {listed(needs.registries)}",
            "add a NAT gateway, or copy the images to ECR and add VPC endpoints",
        )
    if isinstance(endpoints, Unknown):
        return unknown(check, endpoints)
    table_id = table.id if table else ""
    available = {
        e.service
        for e in endpoints
        if e.vpc == subnet.vpc and (not e.gateway or table_id in e.tables)
    }
    missing = needs.services - available
    if missing:
        return Finding(
            check,
            Severity.ERROR,
            f"{subnet.id} ({users}): no default route, and no VPC endpoint for {listed(missing)}",
            "add the endpoints, or a NAT gateway",
        )
    text = f"{subnet.id} ({users}): VPC endpoints for {listed(needs.services) or 'nothing'}"
    return Finding(check, Severity.OK, text)
