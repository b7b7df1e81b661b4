"""What doctor makes of AWS's answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.model.spec import ScalingSpec
from ecs_dynamo.planning.diagnosis import (
    Severity,
    check_clock,
    check_clusters,
    check_gpus,
    check_security_groups,
    check_subnets,
    secret_references,
)
from tests.unit.planning.graphs import component, graph, template
from tests.unit.planning.simulated_ecs import SimulatedEcs


@pytest.mark.parametrize(
    ("gpus", "severity", "words"),
    [
        (1, Severity.ERROR, "needs 2, and 5"),
        (3, Severity.WARNING, "3 GPU slots"),
        (5, Severity.OK, "5 GPU slots"),
    ],
)
def test_gpu_slots_against_the_need(gpus: int, severity: Severity, words: str) -> None:
    wanted = graph(scaling=ScalingSpec(min=1, max=4))
    (found,) = check_gpus(wanted, SimulatedEcs(wanted, gpu_instances=gpus).snapshot())
    assert (found.severity, words in found.evidence) == (severity, True)


def test_instances_that_are_gone_or_small() -> None:
    wanted = graph()
    seen = SimulatedEcs(wanted, gpu_instances=4).snapshot()
    instances = seen.container_instances["gpu"]
    assert not isinstance(instances, Unknown)
    lost = (replace(instances[0], agent_connected=False), *instances[1:])
    texts = [
        f.evidence for f in check_gpus(wanted, replace(seen, container_instances={"gpu": lost}))
    ]
    assert "i-0: its ECS agent is not connected" in texts
    unseen = replace(seen, container_instances={"gpu": Unknown("x")})
    assert [f.severity for f in check_gpus(wanted, unseen)] == [Severity.UNKNOWN]
    big = replace(
        wanted, components=(component("p", Role.PREFILL, template=template("p", "host", gpus=8)),)
    )
    assert any("on one instance" in f.evidence for f in check_gpus(big, seen))


def test_clusters_and_clock() -> None:
    wanted = graph()
    seen = replace(
        SimulatedEcs(wanted).snapshot(), clusters={"fargate": False, "gpu": Unknown("denied")}
    )
    assert [f.severity for f in check_clusters(wanted, seen)] == [Severity.ERROR, Severity.UNKNOWN]
    assert [check_clock(0, skew).severity for skew in (1, 100, 1000)] == [
        Severity.OK,
        Severity.WARNING,
        Severity.ERROR,
    ]


def test_ports_that_must_be_open() -> None:
    wanted = graph()
    narrow = {"IpProtocol": "tcp", "FromPort": 2379, "ToPort": 2379}
    found = list(check_security_groups(wanted, [{"GroupId": "sg-1", "IpPermissions": [narrow]}]))
    by_text = {f.evidence: f.severity for f in found}
    assert by_text["etcd-nats: port 2379 is open"] is Severity.OK
    assert by_text["etcd-nats: no rule lets port 4222 in"] is Severity.ERROR
    assert any("workers choose" in text for text in by_text)
    everything = [{"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "-1"}]}]
    assert {f.severity for f in check_security_groups(wanted, everything)} == {Severity.OK}
    assert any("sg-1 does not exist" in f.evidence for f in check_security_groups(wanted, []))


def test_routes_of_subnets() -> None:
    wanted = graph()
    subnet = {"SubnetId": "subnet-1", "VpcId": "vpc"}
    out = {"DestinationCidrBlock": "0.0.0.0/0"}
    main = {"VpcId": "vpc", "Associations": [{"Main": True}], "Routes": [out]}
    own = {"VpcId": "vpc", "Associations": [{"SubnetId": "subnet-1"}], "Routes": []}
    for tables, severity in (([main], Severity.OK), ([main, own], Severity.WARNING)):
        assert [f.severity for f in check_subnets(wanted, [subnet], tables)] == [severity]
    assert [f.severity for f in check_subnets(wanted, [], [])] == [Severity.ERROR]


def test_secrets_are_found_by_kind() -> None:
    content = template("p", "host")
    content["containerDefinitions"][0] |= {
        "secrets": [
            {"name": "A", "valueFrom": "arn:aws:secretsmanager:r:1:secret:a:key::"},
            {"name": "B", "valueFrom": "/plain"},
            {"name": "C", "valueFrom": "arn:aws:ssm:r:1:parameter/deep/name"},
        ],
        "repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:r:1:secret:ngc"},
    }
    wanted = replace(graph(), components=(component("p", Role.PREFILL, template=content),))
    assert secret_references(wanted) == (
        ["arn:aws:secretsmanager:r:1:secret:a", "arn:aws:secretsmanager:r:1:secret:ngc"],
        ["/deep/name", "/plain"],
    )
