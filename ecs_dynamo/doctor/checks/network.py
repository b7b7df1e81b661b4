"""Checks of subnets, and of routes from where tasks start to registries, logs and secrets. Pure.

Images are pulled, logs written and secrets read by Fargate through the task's own interface, and by
the ECS agent through the instance's (ECS developer guide, "Fargate task networking" and "Task
networking for EC2"). On EC2 a task's own interface never has a public address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class _Place:
    """A subnet in which tasks start, and the services that must be reachable from it."""

    users: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    internet: set[str] = field(default_factory=set)
    without_public_ip: set[str] = field(default_factory=set)


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first) else "docker.io"


def _add(place: _Place, component: Component, *, public: bool) -> None:
    place.users.add(component.name)
    if not public:
        place.without_public_ip.add(component.name)
    for container in containers_of(component):
        image = str(container.get("image", ""))
        if ecr_image(image):
            place.services |= {"ecr.api", "ecr.dkr", "s3"}
        elif image:
            place.internet.add(_registry(image))
        if container.get("logConfiguration", {}).get("logDriver") == "awslogs":
            place.services.add("logs")
    for reference in secret_values(component):
        place.services.add("secretsmanager" if ":secretsmanager:" in reference else "ssm")


def _places(graph: Graph, hosts: Mapping[str, Sequence[Host]]) -> dict[str, _Place]:
    """Return where tasks start, by subnet id. ``hosts`` are the instances of each cluster."""
    places: dict[str, _Place] = {}
    for component in graph.components:
        if component.launch_type is LaunchType.FARGATE:
            for name in component.network.subnets:
                public = component.network.assign_public_ip
                _add(places.setdefault(name, _Place()), component, public=public)
        else:
            for host in hosts.get(component.cluster, ()):
                _add(places.setdefault(host.subnet, _Place()), component, public=host.public)
    return places


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
    places = _places(graph, known)
    if not places:
        return
    if isinstance(subnets, Unknown):
        yield unknown("routes", subnets)
        return
    if isinstance(tables, Unknown):
        yield unknown("routes", tables)
        return
    for name, place in sorted(places.items()):
        if name in subnets:
            yield _route(subnets[name], place, _table(subnets[name], tables), endpoints)


def _route(
    subnet: Subnet,
    place: _Place,
    table: RouteTable | None,
    endpoints: Observed[tuple[VpcEndpoint, ...]],
) -> Finding:
    """Check one subnet: its default route, or its VPC endpoints."""
    check, users = "routes", listed(place.users)
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
        if kind == "igw" and not place.without_public_ip:
            return Finding(check, Severity.OK, f"{text}, with public addresses")
        if kind == "igw":
            return Finding(
                check,
                Severity.ERROR,
                f"{text}, but {listed(place.without_public_ip)} has no public address",
                "use a subnet behind a NAT gateway; or assignPublicIp on Fargate",
            )
        text += "; what is behind it is not followed"
        return Finding(check, Severity.UNKNOWN, text, "pull an image from there manually")
    if place.internet:
        return Finding(
            check,
            Severity.ERROR,
            f"{subnet.id} ({users}): no default route to {listed(place.internet)}",
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
    missing = place.services - available
    if missing:
        return Finding(
            check,
            Severity.ERROR,
            f"{subnet.id} ({users}): no default route, and no VPC endpoint for {listed(missing)}",
            "add the endpoints, or a NAT gateway",
        )
    text = f"{subnet.id} ({users}): by VPC endpoints for {listed(place.services) or 'nothing'}"
    return Finding(check, Severity.OK, text)
