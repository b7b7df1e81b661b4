"""doctor's checks of subnets, routes and security groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.doctor.checks.network import (
    check_routes,
    check_subnets,
)
from ecs_dynamo.doctor.checks.security_groups import (
    Side,
    check_security_groups,
    groups_needed,
    passes,
)
from ecs_dynamo.model.doctor import (
    Finding,
    Host,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Severity,
    Subnet,
    VpcEndpoint,
)
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.snapshot import Observed, Unknown
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.model.spec.service import NetworkSpec
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    template,
)

OK, WARNING, ERROR, UNKNOWN = Severity.OK, Severity.WARNING, Severity.ERROR, Severity.UNKNOWN
SUBNET = Subnet("subnet-1", "vpc", "10.0.1.0/24", 200)
HOSTS_SUBNET = Subnet("subnet-2", "vpc", "10.0.2.0/24", 200)
SUBNETS = {s.id: s for s in (SUBNET, HOSTS_SUBNET)}
HOST = Host("i-1", "ami", "g5.xlarge", "subnet-2", "vpc", "10.0.2.7", frozenset({"sg-host"}))
HOSTS = {"gpu": (HOST,)}


def severities(findings: Iterable[Finding]) -> list[Severity]:
    return [f.severity for f in findings]


# Subnets -----------------------------------------------------------------------------------------


def test_subnets() -> None:
    declared = graph(scaling=SloScaling(max=4))
    assert set(severities(check_subnets(declared, SUBNETS))) == {OK}
    gone = list(check_subnets(declared, {}))
    assert [(f.severity, f.evidence) for f in gone] == [(ERROR, "subnet-1 does not exist")]
    full = check_subnets(declared, {"subnet-1": replace(SUBNET, free=0)})
    assert set(severities(full)) == {ERROR}
    few = list(check_subnets(declared, {"subnet-1": replace(SUBNET, free=2)}))
    assert [f.severity for f in few if f.evidence.startswith("prefill")] == [WARNING]
    assert severities(check_subnets(declared, Unknown("denied"))) == [UNKNOWN]


def test_subnets_of_two_vpcs() -> None:
    network = NetworkSpec(subnets=("subnet-1", "subnet-2"), security_groups=("sg-1",))
    item = component("p", Role.PREFILL, network=network)
    other = {**SUBNETS, "subnet-2": replace(HOSTS_SUBNET, vpc="vpc-2")}
    findings = list(check_subnets(replace(graph(), components=(item,)), other))
    assert (findings[0].severity, "vpc, vpc-2" in findings[0].evidence) == (ERROR, True)


def test_without_own_interfaces_no_subnet_is_needed() -> None:
    declared = replace(graph(), components=(component("p", Role.PREFILL, mode="host"),))
    assert list(check_subnets(declared, Unknown("denied"))) == []


# Routes ------------------------------------------------------------------------------------------


def table(*targets: str, active: bool = True, **changes: Any) -> RouteTable:
    routes = [Route("10.0.0.0/16", "local")]
    routes += [Route("0.0.0.0/0", t, active) for t in targets]
    return replace(RouteTable("rtb-1", "vpc", True, frozenset(), tuple(routes)), **changes)


def with_images(image: str, *, public: bool = False, **container: Any) -> Graph:
    def changed(component: Component) -> Component:
        content = template(component.name, component.network_mode.value)
        content["containerDefinitions"][0] |= {"image": image, **container}
        network = component.network.model_copy(update={"assign_public_ip": public})
        return redeclared(component, template=content, network=network)

    base = graph()
    return replace(base, components=tuple(changed(c) for c in base.components))


def routes_of(
    declared: Graph,
    *tables: RouteTable,
    endpoints: Observed[tuple[VpcEndpoint, ...]] = (),
    hosts: Mapping[str, Observed[tuple[Host, ...]]] = HOSTS,
) -> dict[str, Finding]:
    findings = check_routes(declared, SUBNETS, tables, endpoints, hosts)
    return {f.evidence.split(" ")[0]: f for f in findings}


@pytest.mark.parametrize(
    ("tables", "severity", "words"),
    [
        ((table("nat-1"),), OK, "default route to nat-1"),
        ((table("igw-1"),), ERROR, "no public address"),
        ((table("tgw-1"),), UNKNOWN, "not checked"),
        ((table("nat-1", active=False),), ERROR, "blackhole"),
        ((table(),), ERROR, "no default route to nvcr.io"),
        ((), ERROR, "no default route"),
        # A subnet's own table decides, not the VPC's main one; another VPC's does not count.
        (
            (table("nat-1"), table(id="own", main=False, subnets=frozenset(SUBNETS))),
            ERROR,
            "no def",
        ),
        ((table("nat-1", vpc="other"),), ERROR, "no default route"),
    ],
)
def test_routes_to_a_public_registry(
    tables: tuple[RouteTable, ...], severity: Severity, words: str
) -> None:
    findings = routes_of(with_images("nvcr.io/nvidia/dynamo:1"), *tables)
    assert set(findings) == set(SUBNETS)
    for item in findings.values():
        assert (item.severity, words in item.evidence) == (severity, True), item


def test_a_public_address_makes_an_internet_gateway_a_way_out() -> None:
    declared = with_images("nginx", public=True)
    findings = routes_of(declared, table("igw-1"))
    # Fargate assigns one on request; an instance has its own.
    assert findings["subnet-1"].severity is OK
    assert findings["subnet-2"].severity is ERROR
    public = {"gpu": (replace(HOST, public=True),)}
    assert routes_of(declared, table("igw-1"), hosts=public)["subnet-2"].severity is OK


def endpoints(*names: str) -> tuple[VpcEndpoint, ...]:
    return tuple(VpcEndpoint("vpc", name) for name in names)


ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com/dynamo:1"
LOGS: dict[str, Any] = {
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g"}}
}


def test_endpoints_instead_of_a_way_out() -> None:
    declared = with_images(ECR, secrets=[{"name": "A", "valueFrom": "/a"}], **LOGS)
    s3 = VpcEndpoint("vpc", "s3", frozenset({"rtb-1"}), gateway=True)
    some = endpoints("ecr.api", "ecr.dkr", "logs")
    fine = routes_of(declared, table(), endpoints=(*some, *endpoints("ssm"), s3))
    assert {f.severity for f in fine.values()} == {OK}
    short = routes_of(declared, table(), endpoints=(*some, s3))["subnet-1"]
    assert (short.severity, "VPC endpoint for ssm" in short.evidence) == (ERROR, True)
    # A gateway endpoint serves its own route tables only, and never those of another VPC.
    off = replace(s3, tables=frozenset({"rtb-2"}))
    elsewhere = replace(endpoints("ssm")[0], vpc="other")
    finding = routes_of(declared, table(), endpoints=(*some, elsewhere, off))["subnet-1"]
    assert "s3, ssm" in finding.evidence
    denied = routes_of(declared, table(), endpoints=Unknown("denied"))
    assert {f.severity for f in denied.values()} == {UNKNOWN}


def test_what_is_not_observed_of_routes_is_unknown() -> None:
    declared = graph()
    both = {f.check for f in check_routes(declared, Unknown("x"), (), (), HOSTS)}
    assert both == {"routes"}
    for subnets, tables in ((Unknown("x"), ()), (SUBNETS, Unknown("x"))):
        findings = check_routes(declared, subnets, tables, (), HOSTS)
        assert severities(findings) == [UNKNOWN]
    none = list(check_routes(declared, SUBNETS, (table("nat-1"),), (), {"gpu": ()}))
    assert "gpu has no instance yet" in none[0].evidence
    assert severities(none) == [UNKNOWN, OK]
    lost = list(check_routes(declared, SUBNETS, (table("nat-1"),), (), {"gpu": Unknown("x")}))
    assert severities(lost) == [UNKNOWN, OK]


# Security groups ---------------------------------------------------------------------------------

ALL = Rule("-1", 0, 65535, ("0.0.0.0/0",))


def group(name: str, *ingress: Rule, egress: tuple[Rule, ...] = (ALL,)) -> SecurityGroup:
    return SecurityGroup(name, "vpc", ingress, egress)


def tcp(low: int, high: int, *cidrs: str, groups: Iterable[str] = ()) -> Rule:
    return Rule("tcp", low, high, cidrs, frozenset(groups))


def assess(declared: Graph, *groups: SecurityGroup, hosts: Any = HOSTS) -> dict[str, Severity]:
    known = {g.id: g for g in groups}
    return {f.evidence: f.severity for f in check_security_groups(declared, known, SUBNETS, hosts)}


def test_all_open_between_the_groups() -> None:
    inside = tcp(0, 65535, groups=("sg-1", "sg-host"))
    findings = assess(graph(), group("sg-1", inside), group("sg-host", inside))
    assert set(findings.values()) == {OK}
    assert "etcd-nats: etcd's port 2379 open to decode, frontend, prefill" in findings
    assert "etcd-nats: nats's port 4222 open to decode, frontend, prefill" in findings
    assert "frontend: its port 8000 is open to some" in findings


def test_a_port_that_is_closed_to_the_instances() -> None:
    """Host-mode frontends have their instance's groups, which etcd's group must allow."""
    mine = tcp(0, 65535, groups=("sg-1",))
    findings = assess(graph(), group("sg-1", mine), group("sg-host", ALL))
    assert findings["etcd-nats: etcd's port 2379 closed to frontend"] is ERROR
    assert findings["etcd-nats: nats's port 4222 closed to frontend"] is ERROR
    assert findings["prefill: the ports that workers choose closed to frontend"] is WARNING
    assert findings["frontend: its port 8000 is open to some"] is OK


def test_by_address_and_one_port_of_two() -> None:
    by_address = tcp(2379, 2379, "10.0.1.0/24", "10.0.2.0/24")
    findings = assess(graph(), group("sg-1", by_address), group("sg-host"))
    assert any(t.startswith("etcd-nats: etcd's port 2379 open") for t in findings)
    assert findings["etcd-nats: nats's port 4222 closed to decode, frontend, prefill"] is ERROR
    assert findings["frontend: its port 8000 is closed to all (sg-host)"] is ERROR
    narrow = tcp(2379, 2379, "10.0.1.0/25", "10.0.2.0/24")
    findings = assess(graph(), group("sg-1", narrow), group("sg-host"))
    assert findings["etcd-nats: etcd's port 2379 closed to decode, prefill"] is ERROR


def test_out_of_a_group_too() -> None:
    inside = tcp(0, 65535, groups=("sg-1", "sg-host"))
    shut = group("sg-host", inside, egress=(tcp(443, 443, "0.0.0.0/0"),))
    findings = assess(graph(), group("sg-1", inside), shut)
    assert findings["etcd-nats: etcd's port 2379 closed to frontend"] is ERROR


def test_groups_that_are_missing_or_of_another_vpc() -> None:
    findings = assess(graph(), group("sg-host", ALL))
    assert findings["etcd-nats: sg-1 does not exist"] is ERROR
    inside = tcp(0, 65535, groups=("sg-1", "sg-host"))
    foreign = replace(group("sg-1", inside), vpc="other")
    findings = assess(graph(), foreign, group("sg-host", inside))
    assert findings["decode: sg-1 is in other, its subnets in vpc"] is ERROR


def test_what_is_not_observed_of_groups_is_unknown() -> None:
    assert severities(check_security_groups(graph(), Unknown("denied"), SUBNETS, HOSTS)) == [
        UNKNOWN
    ]
    inside = tcp(0, 65535, groups=("sg-1", "sg-host"))
    for hosts, words in (
        ({"gpu": ()}, "no instance yet"),
        ({"gpu": Unknown("throttled")}, "throttled"),
        ({}, "instances not observed"),
        ({"gpu": (replace(HOST, groups=frozenset()),)}, "has no known security group"),
    ):
        findings = assess(graph(), group("sg-1", inside), hosts=hosts)
        matching = [s for t, s in findings.items() if words in t]
        assert matching
        assert set(matching) == {UNKNOWN}
    without = replace(
        graph(),
        components=tuple(
            redeclared(c, network=NetworkSpec(subnets=("subnet-1",))) for c in graph().components
        ),
    )
    findings = assess(without, group("sg-host", inside))
    assert any("default one" in t and s is UNKNOWN for t, s in findings.items())


def test_prefix_lists_are_not_read() -> None:
    ours = Side(frozenset({"a"}), ("10.0.0.0/24",))
    listed = Rule("tcp", 2379, 2379, prefix_lists=True)
    groups = {"a": group("a", listed), "b": group("b", ALL)}
    theirs = Side(frozenset({"b"}), ("10.0.1.0/24",))
    assert passes(theirs, ours, (2379, 2379), groups) is None
    assert passes(theirs, ours, (4222, 4222), groups) is False
    assert passes(ours, theirs, (4222, 4222), groups) is True
    assert passes(ours, Side(frozenset({"c"}), ()), (1, 1), groups) is None


def test_bridge_mode_has_the_host_port() -> None:
    content = template("etcd", "bridge")
    content["containerDefinitions"][0]["portMappings"] = [
        {"containerPort": 2379, "hostPort": 12379}
    ]
    etcd = component("etcd", Role.ETCD, mode="bridge", template=content, cluster="gpu")
    worker = component("p", Role.PREFILL)
    declared = replace(graph(), components=(etcd, worker))
    opened = tcp(12379, 12379, groups=("sg-1",))
    findings = assess(declared, group("sg-1"), group("sg-host", opened))
    assert findings["etcd: etcd's port 2379 open to p"] is OK
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 2379}]
    findings = assess(declared, group("sg-1"), group("sg-host", opened))
    assert findings["etcd: etcd's port 2379 closed to p"] is WARNING


def test_ipv6_rules_let_no_ipv4_in() -> None:
    findings = assess(graph(), group("sg-1", tcp(0, 65535, "::/0")), group("sg-host", ALL))
    assert findings["etcd-nats: etcd's port 2379 closed to decode, frontend, prefill"] is ERROR


def test_which_groups_are_looked_at() -> None:
    assert groups_needed(graph(), [HOST]) == ["sg-1", "sg-host"]
