"""Checks of security groups: whether they allow the connections that the graph needs. Pure.

Dependants connect to etcd (2379) and NATS (4222); frontends and workers connect to workers at ports
that these choose (request plane, events, KV transfer), and the daemon to their system port; users
and the daemon connect to frontends at 8000. See docs/dynamo-protocol.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.doctor.checks.base import (
    listed,
    unknown,
)
from ecs_dynamo.doctor.checks.network import own_interfaces
from ecs_dynamo.model.doctor import Finding, Host, Rule, SecurityGroup, Severity, Subnet
from ecs_dynamo.model.ecs.task_definition import containers_of
from ecs_dynamo.model.graph import (
    CLIENT_PORTS,
    ETCD_PEER_PORT,
    Component,
    Graph,
    NetworkMode,
)
from ecs_dynamo.model.snapshot import Observed, Unknown

CHECK = "security groups"
CHOSEN_PORTS = (32768, 60999)
"""Linux's ephemeral ports, from which a process gets one that asks for any port."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a connection: the security groups of an interface, and its possible addresses."""

    groups: frozenset[str]
    cidrs: tuple[str, ...]


Sides = Observed[tuple[Side, ...]]


def sides_of(
    component: Component,
    subnets: Mapping[str, Subnet],
    hosts: Mapping[str, Observed[tuple[Host, ...]]],
) -> Sides:
    """Return the interfaces of the component's tasks: their own, or those of their instances."""
    if component.network_mode is NetworkMode.AWSVPC:
        if not component.network.security_groups:
            return Unknown(
                f"{component.name} has no security groups: the VPC's default one is used"
            )
        cidrs = tuple(subnets[s].cidr for s in component.network.subnets if s in subnets)
        return (Side(frozenset(component.network.security_groups), cidrs),)
    instances = hosts.get(
        component.cluster, Unknown(f"{component.cluster}: instances not observed")
    )
    if isinstance(instances, Unknown):
        return instances
    if not instances:
        return Unknown(f"{component.cluster} has no instance yet: its groups are not known")
    by_groups: dict[frozenset[str], list[str]] = {}
    for host in instances:
        if not host.groups:
            return Unknown(f"{host.id} of {component.cluster} has no known security group")
        by_groups.setdefault(host.groups, []).append(f"{host.address}/32")
    return tuple(Side(groups, tuple(cidrs)) for groups, cidrs in by_groups.items())


def _within(cidr: str, ranges: Iterable[str]) -> bool:
    inner = ipaddress.ip_network(cidr, strict=False)
    outer = (ipaddress.ip_network(r, strict=False) for r in ranges)
    return any(o.version == inner.version and inner.subnet_of(o) for o in outer)  # type: ignore[arg-type]  # of one version


def _covers(rule: Rule, ports: tuple[int, int]) -> bool:
    """Whether the rule applies to all of the TCP ports from the first to the last."""
    first, last = ports
    return rule.protocol == "-1" or (
        rule.protocol == "tcp" and rule.low <= first <= last <= rule.high
    )


def _admits(rules: Iterable[Rule], ports: tuple[int, int], other: Side) -> bool | None:
    """Whether the rules allow ``ports`` from (to) ``other``; None if that depends on a prefix list,
    whose entries are not read."""
    covering = [r for r in rules if _covers(r, ports)]
    if any(r.groups & other.groups for r in covering):
        return True
    ranges = [c for r in covering for c in r.cidrs]
    if other.cidrs and all(_within(cidr, ranges) for cidr in other.cidrs):
        return True
    return None if any(r.prefix_lists for r in covering) else False


def passes(
    source: Side, target: Side, ports: tuple[int, int], groups: Mapping[str, SecurityGroup]
) -> bool | None:
    """Whether the rules of ``source`` and of ``target`` allow a connection; None if unknown."""
    if not (source.groups | target.groups) <= groups.keys():
        return None
    out = _admits([r for g in source.groups for r in groups[g].egress], ports, target)
    into = _admits([r for g in target.groups for r in groups[g].ingress], ports, source)
    if out is False or into is False:
        return False
    return None if out is None or into is None else True


@dataclass(frozen=True, slots=True)
class _Flow:
    """A needed connection: ``sources`` to ``target`` at ``ports``, for ``what``."""

    target: Component
    sources: tuple[Component, ...]
    ports: tuple[int, int]
    what: str


def _host_port(component: Component, port: int) -> tuple[int, int]:
    """Return the host ports of a container's ``port``: in bridge mode the mapped one, or any."""
    if component.network_mode is not NetworkMode.BRIDGE:
        return port, port
    for container in containers_of(component):
        for mapping in container.get("portMappings", ()):
            if mapping.get("containerPort") == port and mapping.get("hostPort"):
                host = int(mapping["hostPort"])
                return host, host
    return CHOSEN_PORTS


def _flows(graph: Graph) -> Iterator[_Flow]:
    dependants = tuple(c for c in graph.components if not c.is_infrastructure)
    talking = tuple(c for c in dependants if c.is_worker or c.is_frontend)
    for role, port in CLIENT_PORTS.items():
        for target in (c for c in graph.components if role in c.roles and dependants):
            yield _Flow(target, dependants, _host_port(target, port), f"{role.value}'s port {port}")
    for member in graph.etcd_members:
        others = tuple(m for m in graph.etcd_members if m is not member)
        ports = (ETCD_PEER_PORT, ETCD_PEER_PORT)
        yield _Flow(member, others, ports, f"etcd's peer port {ETCD_PEER_PORT}")
    for worker in (c for c in dependants if c.is_worker):
        yield _Flow(worker, talking, CHOSEN_PORTS, "the ports that workers choose")


def _missing_groups(graph: Graph, groups: Mapping[str, SecurityGroup]) -> Iterator[Finding]:
    for component in own_interfaces(graph):
        for name in sorted(set(component.network.security_groups) - groups.keys()):
            text = f"{component.name}: {name} does not exist"
            yield Finding(CHECK, Severity.ERROR, text, "correct network.securityGroups")


def _other_vpc(
    graph: Graph, groups: Mapping[str, SecurityGroup], subnets: Mapping[str, Subnet]
) -> Iterator[Finding]:
    for component in own_interfaces(graph):
        vpcs = {subnets[s].vpc for s in component.network.subnets if s in subnets}
        for name in component.network.security_groups:
            if name in groups and vpcs and groups[name].vpc not in vpcs:
                yield Finding(
                    CHECK,
                    Severity.ERROR,
                    f"{component.name}: {name} is in {groups[name].vpc}, its subnets in "
                    f"{listed(vpcs)}",
                    "use groups and subnets of one VPC",
                )


def _assess(
    flow: _Flow, sides: Mapping[str, Sides], groups: Mapping[str, SecurityGroup]
) -> Iterator[Finding]:
    closed: dict[str, set[str]] = {}
    doubtful: set[str] = set()
    targets = sides[flow.target.name]
    for source in flow.sources:
        sources = sides[source.name]
        if isinstance(targets, Unknown) or isinstance(sources, Unknown):
            doubtful |= {s.reason for s in (sources, targets) if isinstance(s, Unknown)}
            continue
        for origin in sources:
            for target in targets:
                allowed = passes(origin, target, flow.ports, groups)
                if allowed is False:
                    closed.setdefault(source.name, set()).update(origin.groups)
                elif allowed is None:
                    doubtful.add(f"the rules between {source.name} and {flow.target.name}")
    first, last = flow.ports
    ports = f"TCP {first}" if first == last else f"TCP {first} to {last} (better all)"
    if closed:
        source_groups = {
            group for groups_of_source in closed.values() for group in groups_of_source
        }
        yield Finding(
            CHECK,
            Severity.ERROR if first == last else Severity.WARNING,
            f"{flow.target.name}: {flow.what} closed to {listed(closed)}",
            f"allow {ports} from {listed(source_groups) or 'their groups'}, and out of these",
        )
    for why in sorted(doubtful):
        text = f"{flow.target.name}: {flow.what}: not known ({why})"
        yield Finding(CHECK, Severity.UNKNOWN, text, f"see that {ports} is open between them")
    if not closed and not doubtful:
        names = listed(c.name for c in flow.sources)
        yield Finding(CHECK, Severity.OK, f"{flow.target.name}: {flow.what} open to {names}")


def _frontends(
    graph: Graph, sides: Mapping[str, Sides], groups: Mapping[str, SecurityGroup]
) -> Iterator[Finding]:
    """Check that some rule opens the port: users and load balancers may connect from anywhere."""
    for component in (c for c in graph.components if c.is_frontend):
        own = sides[component.name]
        port = graph.runtime.frontend_port
        host_ports = _host_port(component, port)
        text = f"{component.name}: its port {port}"
        if isinstance(own, Unknown):
            yield Finding(CHECK, Severity.UNKNOWN, f"{text}: not known ({own.reason})")
            continue
        for side in own:
            if not side.groups <= groups.keys():
                continue  # A missing group is reported before.
            if any(_covers(r, host_ports) for g in side.groups for r in groups[g].ingress):
                yield Finding(CHECK, Severity.OK, f"{text} is open to some")
            else:
                yield Finding(
                    CHECK,
                    Severity.ERROR,
                    f"{text} is closed to all ({listed(side.groups)})",
                    f"allow TCP {host_ports[0]} from the daemon's group, and your load balancer's",
                )


def check_security_groups(
    graph: Graph,
    groups: Observed[Mapping[str, SecurityGroup]],
    subnets: Observed[Mapping[str, Subnet]],
    hosts: Mapping[str, Observed[tuple[Host, ...]]],
) -> Iterator[Finding]:
    """Check each connection that the graph needs between its tasks and instances."""
    if isinstance(groups, Unknown):
        yield unknown(CHECK, groups)
        return
    yield from _missing_groups(graph, groups)
    known = {} if isinstance(subnets, Unknown) else subnets
    yield from _other_vpc(graph, groups, known)
    sides = {c.name: sides_of(c, known, hosts) for c in graph.components}
    for flow in _flows(graph):
        yield from _assess(flow, sides, groups)
    yield from _frontends(graph, sides, groups)


def groups_needed(graph: Graph, hosts: Iterable[Host]) -> Sequence[str]:
    """Return the ids of the groups that `check_security_groups` needs."""
    declared = {g for c in own_interfaces(graph) for g in c.network.security_groups}
    return sorted(declared | {g for host in hosts for g in host.groups})
