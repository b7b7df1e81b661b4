"""doctor's checks of clusters, instances, and quotas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.doctor.checks.compute import (
    check_clusters,
    check_gpus,
    check_instances,
    check_sizes,
)
from ecs_dynamo.doctor.checks.quotas import (
    FARGATE_VCPUS,
    TASKS_PER_SERVICE,
    check_quotas,
)
from ecs_dynamo.model.capacity import AutoScalingGroup, InstanceSize
from ecs_dynamo.model.doctor import Finding, Host, RecommendedImage, Severity
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Unknown
from ecs_dynamo.model.spec.capacity import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
)
from ecs_dynamo.model.spec.scaling import SloScaling
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    template,
)
from tests.helpers.simulated_ecs import SimulatedEcs

OK, WARNING, ERROR, UNKNOWN = Severity.OK, Severity.WARNING, Severity.ERROR, Severity.UNKNOWN


def severities(findings: Iterable[Finding]) -> list[Severity]:
    return [f.severity for f in findings]


def instance(number: int = 0, **changes: Any) -> ContainerInstance:
    base = ContainerInstance(
        f"arn:{number}",
        f"i-{number}",
        "ACTIVE",
        True,
        f"10.0.0.{number}",
        instance_type="g5.xlarge",
        gpus=1,
        gpus_free=1,
        cpu=4096,
        memory=15_000,
        agent_version="1.106.2",
    )
    return replace(base, **changes)


def snapshot_of(declared: Graph, *instances: ContainerInstance, **changes: Any) -> Snapshot:
    snapshot = SimulatedEcs(declared).snapshot()
    return replace(snapshot, container_instances={"gpu": instances}, **changes)


@pytest.mark.parametrize(
    ("gpus", "severity", "words"),
    [
        (1, ERROR, "needs 2, and 5"),
        (3, WARNING, "3 GPU slots"),
        (5, OK, "5 GPU slots"),
    ],
)
def test_gpu_slots_against_the_need(gpus: int, severity: Severity, words: str) -> None:
    declared = graph(scaling=SloScaling(min=1, max=4))
    (finding,) = check_gpus(declared, SimulatedEcs(declared, gpu_instances=gpus).snapshot())
    assert (finding.severity, words in finding.evidence) == (severity, True)


@pytest.mark.parametrize(
    ("value", "instances", "words"),
    [("ALL", 3, "12 GPU slots; the graph needs 8"), ("0.25", 2, "8 GPU slots; the graph needs 2")],
)
def test_all_gpus_and_shares_in_slots(value: str, instances: int, words: str) -> None:
    def asks(name: str, role: Role) -> Any:
        content = template(name, "awsvpc", gpus=1)
        content["containerDefinitions"][0]["resourceRequirements"][0]["value"] = value
        return component(name, role, template=content)

    base = graph()
    workers = (asks("prefill", Role.PREFILL), asks("decode", Role.DECODE))
    declared = replace(base, components=(*base.components[:2], *workers))
    here = [instance(n, gpus=4, gpus_free=4) for n in range(instances)]
    (finding,) = check_gpus(declared, snapshot_of(declared, *here))
    assert (finding.severity, words in finding.evidence) == (OK, True)
    sizes = [f.evidence for f in check_sizes(declared, snapshot_of(declared, *here))]
    assert any(f"decode needs {'all' if value == 'ALL' else 1} GPUs" in text for text in sizes)


def test_gpu_slots_of_providers_and_of_unobserved_instances() -> None:
    declared = graph()
    raised = replace(
        declared,
        components=tuple(
            redeclared(c, capacity_providers=(CapacityProviderItem(name="p"),))
            for c in declared.components
        ),
    )
    (finding,) = check_gpus(raised, snapshot_of(raised))
    assert (finding.severity, "added as they are needed" in finding.evidence) == (OK, True)
    unobserved = replace(snapshot_of(declared), container_instances={"gpu": Unknown("x")})
    assert severities(check_gpus(declared, unobserved)) == [UNKNOWN]
    # An instance with a lost agent offers nothing.
    lost = snapshot_of(declared, *(instance(n, agent_connected=False) for n in range(4)))
    assert severities(check_gpus(declared, lost)) == [ERROR]


def test_clusters() -> None:
    declared = graph()
    observed = replace(snapshot_of(declared), clusters={"fargate": False, "gpu": Unknown("denied")})
    assert severities(check_clusters(declared, observed)) == [ERROR, UNKNOWN]
    assert severities(check_clusters(declared, replace(observed, clusters={}))) == [
        UNKNOWN,
        UNKNOWN,
    ]
    fine = replace(observed, clusters={"fargate": True, "gpu": True})
    assert severities(check_clusters(declared, fine)) == [OK, OK]


def test_a_replica_that_fits_on_no_instance() -> None:
    big = template("p", "host", gpus=8)
    declared = replace(graph(), components=(component("p", Role.PREFILL, template=big),))
    (finding,) = check_sizes(declared, snapshot_of(declared, instance()))
    assert finding.severity is ERROR
    assert "p needs 8 GPUs" in finding.evidence
    assert "g5.xlarge (1, 4096, 15000)" in finding.evidence
    assert severities(check_sizes(declared, snapshot_of(declared, instance(gpus=8)))) == [OK]
    assert severities(check_sizes(declared, snapshot_of(declared))) == [UNKNOWN]
    unobserved = replace(snapshot_of(declared), container_instances={})
    assert severities(check_sizes(declared, unobserved)) == [UNKNOWN]
    # A capacity provider may launch larger instances than the existing ones.
    raised = redeclared(
        declared.components[0], capacity_providers=(CapacityProviderItem(name="p"),)
    )
    other = replace(declared, components=(raised,))
    assert severities(check_sizes(other, snapshot_of(other, instance()))) == [UNKNOWN]


def test_a_group_at_zero_tells_the_size_of_its_instances() -> None:
    big = template("p", "host", gpus=8)
    groups = (AutoScalingGroupSpec(name="asg", cluster="gpu", max=2),)
    declared = replace(
        graph(),
        components=(component("p", Role.PREFILL, template=big),),
        capacity=CapacitySpec(auto_scaling_groups=groups),
    )
    size = InstanceSize("p5.48xlarge", 8, 192 * 1024, 2_000_000)
    observed = snapshot_of(
        declared, groups={"asg": AutoScalingGroup("asg", 0, 0, 2, sizes=(size,))}
    )
    assert severities(check_sizes(declared, observed)) == [OK]
    elsewhere = replace(
        declared, capacity=CapacitySpec(auto_scaling_groups=(replace_cluster(groups[0], "other"),))
    )
    assert severities(check_sizes(elsewhere, observed)) == [UNKNOWN]


def replace_cluster(spec: AutoScalingGroupSpec, cluster: str) -> AutoScalingGroupSpec:
    return spec.model_copy(update={"cluster": cluster})


AMI = "al2023-ami-ecs-gpu-hvm-2023.0.20260901-kernel-6.1-x86_64-ebs"
NEWEST = (RecommendedImage("ami-new", AMI.replace("0901", "1001"), "1.106.3"),)


def host(number: int = 0, image: str = "ami-1") -> Host:
    return Host(f"i-{number}", image, "g5.xlarge", "subnet-1", "vpc", f"10.0.0.{number}")


def instances_of(*instances: ContainerInstance, **changes: Any) -> list[Finding]:
    declared = graph()
    looked_up: dict[str, Any] = {
        "hosts": {"gpu": (host(),)},
        "images": {"ami-1": AMI},
        "recommended": NEWEST,
    } | changes
    return list(check_instances(declared, snapshot_of(declared, *instances), **looked_up))


def by_check(findings: Iterable[Finding], check: str) -> list[Finding]:
    return [f for f in findings if f.check == check]


def test_amis() -> None:
    (fine,) = by_check(instances_of(instance()), "ami")
    assert fine.severity is OK
    assert NEWEST[0].name in fine.evidence
    newest = instances_of(
        instance(), hosts={"gpu": (host(image="ami-new"),)}, images={"ami-new": "x"}
    )
    assert severities(by_check(newest, "ami")) == [OK]
    for images, severity in (
        ({"ami-1": "my-own"}, WARNING),
        ({"ami-1": "amzn2-ami-ecs-hvm-2.0"}, WARNING),
        ({"ami-1": "bottlerocket-aws-ecs-2-nvidia-x86_64-v1.40"}, OK),
        ({}, UNKNOWN),
        (Unknown("denied"), UNKNOWN),
    ):
        findings = by_check(instances_of(instance(), images=images), "ami")
        assert severities(findings) == [severity], images
    assert severities(by_check(instances_of(instance(), hosts={}), "ami")) == [UNKNOWN]
    # The check does not need AWS's recommendation.
    blind = instances_of(instance(), recommended=Unknown("denied"))
    assert severities(by_check(blind, "ami")) == [OK]


def test_a_gpu_instance_that_registered_no_gpu() -> None:
    findings = by_check(instances_of(instance(gpus=0)), "ami")
    assert severities(findings) == [ERROR]
    assert "i-0 (g5.xlarge) registered no GPU" in findings[0].evidence
    assert not by_check(instances_of(instance(gpus=0, instance_type="m5.large")), "ami")


def test_agents() -> None:
    (fine,) = by_check(instances_of(instance()), "agents")
    assert (fine.severity, "1.106.2" in fine.evidence) == (OK, True)
    lost = instance(1, agent_connected=False)
    assert severities(by_check(instances_of(instance(), lost), "agents")) == [WARNING]
    assert severities(by_check(instances_of(lost), "agents")) == [ERROR]
    old = by_check(instances_of(instance(agent_version="1.9.0")), "agents")
    assert severities(old) == [ERROR]
    assert "older than 1.24.0" in old[0].evidence
    untold = by_check(instances_of(instance(agent_version="")), "agents")
    assert severities(untold) == [UNKNOWN]
    assert instances_of() == []


G_QUOTA = "Running On-Demand G and VT instances"
PLENTY = {G_QUOTA: 1000.0, TASKS_PER_SERVICE: 5000.0, FARGATE_VCPUS: 100.0}


def quotas_of(quotas: Any, *instances: ContainerInstance) -> dict[str, Finding]:
    declared = graph(scaling=SloScaling(min=1, max=4))
    findings = check_quotas(declared, snapshot_of(declared, *(instances or (instance(),))), quotas)
    return {f.evidence.split(":")[0]: f for f in findings}


def test_quotas() -> None:
    assert {f.severity for f in quotas_of(PLENTY).values()} == {OK}
    short = quotas_of(PLENTY | {G_QUOTA: 12.0})[G_QUOTA]
    # Two replicas now and at most five, with one GPU and four vCPUs each.
    assert (short.severity, "needs 8" in short.evidence, "20 when" in short.evidence) == (
        WARNING,
        True,
        True,
    )
    assert quotas_of(PLENTY | {G_QUOTA: 0.0})[G_QUOTA].severity is ERROR
    spot = "All G and VT Spot Instance Requests"
    assert quotas_of(PLENTY | {G_QUOTA: 0.0, spot: 64.0})[spot].severity is OK
    assert quotas_of(PLENTY | {TASKS_PER_SERVICE: 3.0})[TASKS_PER_SERVICE].severity is ERROR


def test_a_generation_with_a_spot_quota_of_its_own() -> None:
    p5 = instance(instance_type="p5.48xlarge")
    on_demand, spot = "Running On-Demand P instances", "All P5 Spot Instance Requests"
    older = "All P4, P3 and P2 Spot Instance Requests"
    quotas = PLENTY | {on_demand: 0.0, spot: 384.0, older: 0.0}
    assert quotas_of(quotas, p5)[spot].severity is OK
    # The quota of older generations does not apply.
    short = quotas_of(PLENTY | {on_demand: 0.0, older: 384.0}, p5)
    assert short[on_demand].severity is ERROR


def test_quotas_that_are_not_reported_are_unknown() -> None:
    assert {f.severity for f in quotas_of({}).values()} == {UNKNOWN}
    declared = graph()
    assert severities(check_quotas(declared, snapshot_of(declared), Unknown("denied"))) == [UNKNOWN]
    trn = instance(instance_type="trn1.2xlarge")
    findings = quotas_of(PLENTY, trn)
    assert [f.severity for t, f in findings.items() if "no quota is known" in t] == [UNKNOWN]
    # Without an instance or a group the instance type is unknown: there is no finding.
    assert G_QUOTA not in quotas_of(PLENTY, instance(gpus=0))
