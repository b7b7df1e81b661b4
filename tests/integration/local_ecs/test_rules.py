"""Rejections of ECS, shown with third-party clients; and the calls that scripts use to explore."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest

from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.integration.stack import until
from tests.unit.definitions.invalid import INVALID
from tests.unit.definitions.valid import VALID

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

NETWORK = {
    "awsvpcConfiguration": {
        "subnets": ["subnet-1"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "ENABLED",
    }
}
RANGE = {"containerPortRange": "18010-18012"}
POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    async with ecs_client(tmp_path) as client:
        yield client


def aws_client(client: EcsClient, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=client.local.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


async def test_invalid_task_definitions_are_rejected_with_ecs_codes_and_messages(
    client: EcsClient,
) -> None:
    for invalid in INVALID:
        if invalid.rule != "volume-configured-at-launch":
            code, message = await client.error_of("register_task_definition", **invalid.definition)
            assert code == "ClientException", (invalid.rule, message)
    for rule, words in (
        ("secret-name-unique", "The secret name must be unique and not shared"),
        ("dependency-essential", "cannot be an essential container"),
        ("fargate-memory", "No Fargate configuration exists for given values: 1024 CPU, 16384"),
    ):
        definition = next(i.definition for i in INVALID if i.rule == rule)
        output = await client.cli(
            "register-task-definition", "--cli-input-json", json.dumps(definition), ok=False
        )
        assert "(ClientException) when calling the RegisterTaskDefinition operation" in output
        assert words in output
    for definition in VALID.values():
        await client.call("register_task_definition", **definition)


async def test_create_service_rejects_invalid_parameters(client: EcsClient) -> None:
    (at_launch,) = (i.definition for i in INVALID if i.rule == "volume-configured-at-launch")
    await client.call("register_task_definition", **{**at_launch, "family": "at-launch"})
    await client.call(
        "register_task_definition",
        family="vpc",
        networkMode="awsvpc",
        containerDefinitions=[container()],
    )
    service = {"cluster": "main", "serviceName": "s", "desiredCount": 1}
    vpc: Any = {"subnets": ["subnet-1"]}
    for family, change, words in (
        ("at-launch", {}, "configuredAtLaunch"),
        ("vpc", {"assignPublicIp": "ENABLED"}, "Assign public IP is not supported"),
        ("vpc", {"subnets": [f"subnet-{n}" for n in range(17)]}, "16"),
        ("vpc", {"securityGroups": [f"sg-{n}" for n in range(6)]}, "5"),
    ):
        code, message = await client.error_of(
            "create_service",
            **service,
            taskDefinition=family,
            networkConfiguration={"awsvpcConfiguration": {**vpc, **change}},
        )
        assert (code, words in message) == ("InvalidParameterException", True), message
    constraints = [{"type": "memberOf", "expression": f"attribute:a == {n}"} for n in range(11)]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"deploymentConfiguration": {"minimumHealthyPercent": 101}}, "at most 100"),
        ({"placementConstraints": constraints}, "Maximum number of constraints is 10"),
    ]
    for parameters, words in cases:
        code, message = await client.error_of(
            "create_service",
            **service,
            taskDefinition="vpc",
            networkConfiguration={"awsvpcConfiguration": vpc},
            **parameters,
        )
        assert (code, words in message) == ("InvalidParameterException", True), message


async def test_a_script_finds_a_tasks_public_address_and_its_roles_policy(
    client: EcsClient,
) -> None:
    registered = await client.call(
        "register_task_definition",
        family="web",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu=".25 vCPU",
        memory="0.5 GB",
        containerDefinitions=[container(portMappings=[{"containerPort": 18000}, RANGE])],
    )
    definition = registered["taskDefinition"]
    assert (definition["cpu"], definition["memory"]) == ("256", "512")
    assert set(definition["compatibilities"]) >= {"EC2", "FARGATE"}
    started = await client.call(
        "run_task",
        cluster="main",
        taskDefinition="web",
        launchType="FARGATE",
        networkConfiguration=NETWORK,
    )
    (task,) = started["tasks"]
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    eni, ec2 = details["networkInterfaceId"], aws_client(client, "ec2")
    (interface,) = (
        await asyncio.to_thread(ec2.describe_network_interfaces, NetworkInterfaceIds=[eni])
    )["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    assert interface["Association"]["PublicIp"].startswith("203.0.113.")
    assert (interface["SubnetId"], interface["Status"]) == ("subnet-1", "in-use")
    assert [g["GroupId"] for g in interface["Groups"]] == ["sg-1"]
    await client.call("stop_task", cluster="main", task=task["taskArn"])
    await client.wait("tasks_stopped", cluster="main", tasks=[task["taskArn"]])
    remaining = await asyncio.to_thread(
        ec2.describe_network_interfaces,
        Filters=[{"Name": "network-interface-id", "Values": [eni]}],
    )
    assert remaining["NetworkInterfaces"] == []
    iam = aws_client(client, "iam")
    await asyncio.to_thread(lambda: iam.create_role(RoleName="exec", AssumeRolePolicyDocument="{}"))
    await asyncio.to_thread(lambda: iam.attach_role_policy(RoleName="exec", PolicyArn=POLICY))
    attached = await asyncio.to_thread(lambda: iam.list_attached_role_policies(RoleName="exec"))
    assert [p["PolicyArn"] for p in attached["AttachedPolicies"]] == [POLICY]


async def test_a_port_range_is_mapped_in_bridge_mode(client: EcsClient) -> None:
    await client.call(
        "register_task_definition",
        family="range",
        containerDefinitions=[
            container(
                command="exec python3 -m http.server 18011 --bind 0.0.0.0",
                portMappings=[{"containerPort": 18000}, RANGE],
            )
        ],
    )
    await client.call(
        "create_service",
        cluster="main",
        serviceName="range",
        taskDefinition="range",
        desiredCount=1,
    )
    await client.wait("services_stable", cluster="main", services=["range"])
    arns = (await client.call("list_tasks", cluster="main", serviceName="range"))["taskArns"]
    (task,) = (await client.call("describe_tasks", cluster="main", tasks=arns))["tasks"]
    single, several = task["containers"][0]["networkBindings"]
    assert single["containerPort"] == 18000
    assert several["containerPortRange"] == RANGE["containerPortRange"]
    first, last = (int(port) for port in several["hostPortRange"].split("-"))
    assert last - first == 2
    (instance,) = client.local.state.instances.values()

    async def answers() -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{instance.address}:{first + 1}/") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await until("the second port of the range answers", answers, 20)
    await client.call("delete_service", cluster="main", service="range", force=True)
    await client.wait("services_inactive", cluster="main", services=["range"])


async def test_a_task_definition_that_cannot_be_started_does_not_affect_other_services(
    client: EcsClient,
) -> None:
    """A fault of the local ECS itself is an event of the one service that it affects."""
    for family in ("bad", "good"):
        await client.call(
            "register_task_definition", family=family, containerDefinitions=[container()]
        )
    definition = client.local.state.definitions["bad"][0]
    definition.content["containerDefinitions"][0]["portMappings"] = [{"protocol": "tcp"}]
    for family in ("bad", "good"):
        await client.call(
            "create_service",
            cluster="main",
            serviceName=family,
            taskDefinition=family,
            desiredCount=1,
        )
    await client.wait("services_stable", cluster="main", services=["good"])
    (service,) = (await client.call("describe_services", cluster="main", services=["bad"]))[
        "services"
    ]
    assert "failed to launch a task" in service["events"][0]["message"]
    assert service["runningCount"] == service["pendingCount"] == 0
    await client.call("delete_service", cluster="main", service="bad", force=True)
    await client.wait("services_inactive", cluster="main", services=["bad"])
