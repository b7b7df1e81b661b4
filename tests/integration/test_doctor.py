"""doctor on the local stack: missing objects are reported, existing ones are not, and a failed
check is never ok."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.inspect.references import (
    fetch_quotas,
    simulate_rights,
)
from ecs_dynamo.config import load_graph
from ecs_dynamo.doctor.diagnose import diagnose
from ecs_dynamo.iam.render import trust
from ecs_dynamo.local.wire.protocol import ACCOUNT
from ecs_dynamo.model.doctor import Finding, Severity, Simulation
from ecs_dynamo.model.errors import AwsError
from tests.helpers.scaling_groups import Scaling
from tests.integration.stack import REGION, Stack, component_of
from tests.integration.test_names import cloud_map

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/dynamo:1"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:hf-AbCdEf"
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"digest": "sha256:" + "0" * 64, "size": 1},
    "layers": [],
}
WORDS = ("error", "warning", "unknown", "ok")


async def examine(stack: Stack, code: int) -> dict[str, dict[str, list[str]]]:
    """Group the findings' evidence by check and severity."""
    got, out, err = await stack.cli("doctor", "-f", str(stack.graph_file), "--json")
    assert got == code, out + err
    evidence: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    order = []
    assert out.startswith("["), out + err
    for finding in json.loads(out):
        evidence[finding["check"]][finding["severity"]].append(finding["evidence"])
        order.append(WORDS.index(finding["severity"]))
        assert finding["severity"] in ("ok", "unknown") or finding["remedy"], finding
    assert order == sorted(order)
    return evidence


async def own_vpc(stack: Stack) -> tuple[str, str]:
    """Create a subnet with a default route and a group that is open within the VPC; the instances'
    subnets get a default route too."""
    async with stack.client("ec2") as ec2:
        vpc = (await ec2.create_vpc(CidrBlock="10.20.0.0/16"))["Vpc"]["VpcId"]
        created = await ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")
        subnet = created["Subnet"]["SubnetId"]
        group = (await ec2.create_security_group(GroupName="d", Description="d", VpcId=vpc))[
            "GroupId"
        ]
        reservations = (await ec2.describe_instances())["Reservations"]
        instances = [i for r in reservations for i in r["Instances"]]
        home = instances[0]["VpcId"]
        created = await ec2.create_security_group(GroupName="i", Description="i", VpcId=home)
        for instance in instances:
            await ec2.modify_instance_attribute(
                InstanceId=instance["InstanceId"], Groups=[created["GroupId"]]
            )
        inside = [{"CidrIp": "10.20.0.0/16"}, {"CidrIp": "127.0.0.0/8"}]
        rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": inside}
        for target in (group, created["GroupId"]):
            await ec2.authorize_security_group_ingress(GroupId=target, IpPermissions=[rule])
        for where, home in {(subnet, vpc), *((i["SubnetId"], i["VpcId"]) for i in instances)}:
            address = (await ec2.allocate_address(Domain="vpc"))["AllocationId"]
            gateway = await ec2.create_nat_gateway(SubnetId=where, AllocationId=address)
            tables = await ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [home]}])
            await ec2.create_route(
                RouteTableId=tables["RouteTables"][0]["RouteTableId"],
                DestinationCidrBlock="0.0.0.0/0",
                NatGatewayId=gateway["NatGateway"]["NatGatewayId"],
            )
        return subnet, group


@asynccontextmanager
async def role(stack: Stack, name: str) -> AsyncIterator[None]:
    """Create a role that ECS tasks may assume. moto's IAM outlives a server."""
    async with stack.client("iam") as iam:
        document = json.dumps(trust("ecs-tasks.amazonaws.com"))
        await iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        try:
            yield
        finally:
            await iam.delete_role(RoleName=name)


def refer(stack: Stack, *, create_group: bool) -> None:
    """Make decode refer to an image in ECR, a secret, a parameter and a log group."""

    def change(document: dict[str, Any]) -> None:
        container = document["containerDefinitions"][0]
        container["image"] = IMAGE
        container["secrets"] = [
            {"name": "HF_TOKEN", "valueFrom": SECRET},
            {"name": "MORE", "valueFrom": "/dynamo/more"},
        ]
        options = {"awslogs-group": "/dynamo/decode", "awslogs-region": REGION}
        if create_group:
            options["awslogs-create-group"] = "true"
        container["logConfiguration"] = {"logDriver": "awslogs", "options": options}

    stack.edit_task_definition("decode", change)


async def test_what_is_missing_is_found(stack: Stack) -> None:
    refer(stack, create_group=False)
    evidence = await examine(stack, 1)
    for check in ("roles", "subnets", "security groups", "images", "secrets", "logs", "routes"):
        assert evidence[check]["error"], (check, evidence[check])
    assert len(evidence["secrets"]["error"]) == 2
    assert evidence["images"]["error"] == [f"{IMAGE} (decode) does not exist"]
    for check in ("credentials", "clusters", "gpus", "clock", "agents", "sizes"):
        assert set(evidence[check]) == {"ok"}, (check, evidence[check])
    # The stack has neither a policy simulator nor quotas: these checks are never ok.
    assert set(evidence["rights"]) == set(evidence["quotas"]) == {"unknown"}
    # It is not one of AWS's GPU AMIs.
    assert len(evidence["ami"]["warning"]) == 1


async def test_what_is_there_is_fine(stack: Stack) -> None:
    """A graph with every kind of reference, on a cluster that grows."""
    refer(stack, create_group=True)
    scaling = Scaling(stack.url)
    await scaling.group("asg", cluster="dynamo-GPU", max_size=4)
    await scaling.call("autoscaling", "put_warm_pool", AutoScalingGroupName="asg", MinSize=0)
    arn = await scaling.group("managed", cluster="dynamo-GPU")
    await stack.aws(
        "CreateCapacityProvider",
        name="spot",
        autoScalingGroupProvider={
            "autoScalingGroupArn": arn,
            "managedScaling": {"status": "ENABLED"},
        },
    )
    await stack.aws(
        "PutClusterCapacityProviders",
        cluster="dynamo-GPU",
        capacityProviders=["spot"],
        defaultCapacityProviderStrategy=[],
    )
    async with stack.client("ecr") as ecr:
        await ecr.create_repository(repositoryName="dynamo")
        await ecr.put_image(
            repositoryName="dynamo", imageTag="1", imageManifest=json.dumps(MANIFEST)
        )
    async with stack.client("secretsmanager") as secrets:
        secret = (await secrets.create_secret(Name="hf", SecretString="x"))["ARN"]
    async with stack.client("ssm") as ssm:
        await ssm.put_parameter(Name="/dynamo/more", Value="x", Type="SecureString")

    def right_secret(document: dict[str, Any]) -> None:
        document["containerDefinitions"][0]["secrets"][0]["valueFrom"] = secret

    stack.edit_task_definition("decode", right_secret)
    subnet, group = await own_vpc(stack)

    def change(document: dict[str, Any]) -> None:
        document["network"] = {"subnets": [subnet], "securityGroups": [group]}
        document["capacity"] = {"autoScalingGroups": [{"name": "asg", "max": 4}]}
        decode = component_of(document, "decode")
        decode["capacityProviders"] = [{"name": "spot"}]

    stack.edit(change)
    # A foreign task in the cluster that is checked.
    nats = {"name": "n", "image": "nats:2.11-alpine", "memory": 64}
    await stack.aws("RegisterTaskDefinition", family="other", containerDefinitions=[nats])
    await stack.aws("RunTask", cluster="dynamo-GPU", taskDefinition="other")
    async with role(stack, "ecsTaskExecutionRole"):
        evidence = await examine(stack, 0)
    assert not [f for check in evidence.values() for f in check.get("error", ())]
    for check in ("images", "secrets", "logs", "roles", "routes", "capacity", "security groups"):
        assert evidence[check]["ok"], (check, evidence[check])
    assert set(evidence["secrets"]) == {"ok"}
    assert f"{IMAGE} (decode)" in evidence["images"]["ok"]


async def test_without_aws_nothing_is_fine(stack: Stack) -> None:
    """Each check fails independently, without a traceback and without hanging."""
    code, out, err = await stack.cli(
        *("doctor", "-f", str(stack.graph_file), "--json"),
        *("--endpoint-url", "http://127.0.0.1:9"),
    )
    assert "Traceback" not in err
    findings = json.loads(out)
    fine = [f for f in findings if f["severity"] == "ok" and f["check"] != "task definitions"]
    assert (code, fine) == (0, [])
    assert {"credentials", "rights", "clusters", "quotas"} <= {f["check"] for f in findings}


async def test_a_role_that_is_not_an_arn(stack: Stack) -> None:
    code, _, err = await stack.cli("doctor", "-f", str(stack.graph_file), "--role", "admin")
    assert (code, "--role" in err) == (2, True)


class Answers:
    """Responses of AWS as in its API references, for APIs that no stand-in serves."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    async def call(self, service: str, operation: str, /, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        answer = self.answers.get(operation)
        if answer is None:
            raise AwsError(operation, "AccessDeniedException", "not authorized")
        taken: dict[str, Any] = answer.pop(0) if isinstance(answer, list) else answer
        return taken


async def test_the_simulator_is_asked_for_each_resource() -> None:
    several = {
        "EvalActionName": "ecs:UpdateService",
        "EvalDecision": "explicitDeny",
        "ResourceSpecificResults": [
            {"EvalResourceName": "arn:a", "EvalResourceDecision": "allowed"},
            {"EvalResourceName": "arn:b", "EvalResourceDecision": "implicitDeny"},
        ],
    }
    single = {
        "EvalActionName": "ecs:TagResource",
        "EvalResourceName": "*",
        "EvalDecision": "allowed",
    }
    aws = Answers(
        SimulatePrincipalPolicy=[
            {"EvaluationResults": [several], "IsTruncated": True, "Marker": "m"},
            {"EvaluationResults": [single], "IsTruncated": False},
        ]
    )
    asked = Simulation(
        ("ecs:UpdateService", "ecs:TagResource"),
        ("arn:a", "arn:b"),
        {"aws:ResourceTag/x": ("string", ("y",))},
    )
    simulated = await simulate_rights(cast(Aws, aws), "arn:role", [asked])
    assert (simulated.answers, simulated.denied) == (3, (("ecs:UpdateService", "arn:b"),))
    assert aws.asked[0]["ContextEntries"] == [
        {
            "ContextKeyName": "aws:ResourceTag/x",
            "ContextKeyType": "string",
            "ContextKeyValues": ["y"],
        }
    ]
    assert aws.asked[1]["Marker"] == "m"


async def test_quotas_are_read_by_name_over_all_pages() -> None:
    aws = Answers(
        ListServiceQuotas=[
            {"Quotas": [{"QuotaName": "a", "Value": 1.0}], "NextToken": "t"},
            {"Quotas": [{"QuotaName": "b", "Value": 2.0}, {"QuotaName": "c", "Value": 3.0}]},
        ]
    )
    assert await fetch_quotas(cast(Aws, aws), ["ec2"], {"a", "b"}) == {"a": 1.0, "b": 2.0}


async def test_a_denied_observation_is_unknown_and_hides_no_other(stack: Stack) -> None:
    graph = load_graph(stack.graph_file, stack.environ).graph
    aws = Answers(
        GetCallerIdentity={"Arn": f"arn:aws:iam::{ACCOUNT}:user/ann", "Account": ACCOUNT},
        GetRole={"Role": {"AssumeRolePolicyDocument": trust("ecs-tasks.amazonaws.com")}},
    )
    findings: list[Finding] = await diagnose(cast(Aws, aws), graph)
    fine = {f.check for f in findings if f.severity is Severity.OK}
    assert fine == {"credentials", "roles", "task definitions"}
    assert not [f for f in findings if f.severity is Severity.ERROR]
    assert any("AccessDenied" in f.evidence for f in findings)


def name_infrastructure(stack: Stack, names: dict[str, Any]) -> None:
    stack.edit(lambda d: d["infrastructure"].update(serviceDiscovery=names))


async def test_names_are_looked_up(stack: Stack) -> None:
    names = await cloud_map(stack, "etcd")
    wrong = {**names["etcd"], "registryArn": f"{names['etcd']['registryArn']}x"}
    for declared, severity, words in (
        (names["etcd"], "ok", "etcd.dynamo.local (A records, TTL 10 s)"),
        (wrong, "error", "does not exist"),
    ):
        name_infrastructure(stack, {"cloudMap": {"etcd": declared}})
        evidence = await examine(stack, 1)
        assert [words in text for text in evidence["names"][severity]] == [True]

    for name in ("frontend", "decode", "prefill"):
        stack.edit_task_definition(name, lambda d: d.update(networkMode="awsvpc"))
    async with stack.client("servicediscovery") as maps:
        (space,) = (await maps.list_namespaces())["Namespaces"]
    for namespace, severity in (
        ("dynamo.local", "ok"),
        ("elsewhere", "error"),
        (space["Arn"], "ok"),
        (f"{space['Arn']}x", "error"),
    ):
        name_infrastructure(stack, {"serviceConnect": {"namespace": namespace}})
        evidence = await examine(stack, 1)
        assert list(evidence["names"]) == [severity]
