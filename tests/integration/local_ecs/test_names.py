"""Service registries and Service Connect of the local ECS, with boto3 only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.integration.stack import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

VPC = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    async with ecs_client(tmp_path, instances=2) as client:
        yield client


class CloudMap:
    """Cloud Map behind the same port, with the namespace app.local."""

    def __init__(self, client: EcsClient) -> None:
        self.boto = boto3.client(
            "servicediscovery",
            endpoint_url=client.local.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    async def call(self, operation: str, **parameters: Any) -> Any:
        return await asyncio.to_thread(getattr(self.boto, operation), **parameters)

    async def service(self, name: str, record: str = "A") -> str:
        """Create a service in app.local; return its ARN."""
        spaces = (await self.call("list_namespaces"))["Namespaces"]
        if not spaces:
            await self.call("create_private_dns_namespace", Name="app.local", Vpc="vpc-1")
            spaces = (await self.call("list_namespaces"))["Namespaces"]
        created = await self.call(
            "create_service",
            Name=name,
            NamespaceId=spaces[0]["Id"],
            DnsConfig={"DnsRecords": [{"Type": record, "TTL": 10}]},
        )
        return str(created["Service"]["Arn"])

    async def instances(self, arn: str) -> list[dict[str, str]]:
        answer = await self.call("list_instances", ServiceId=arn.rsplit("/", 1)[-1])
        return [i["Attributes"] for i in answer["Instances"]]


async def register(client: EcsClient, family: str, mode: str, **members: Any) -> None:
    port = {"containerPort": 6000, "name": "door"}
    await client.call(
        "register_task_definition",
        family=family,
        networkMode=mode,
        containerDefinitions=[container(portMappings=[port])],
        **members,
    )


def service(name: str, **parameters: Any) -> dict[str, Any]:
    return {
        "cluster": "main",
        "serviceName": name,
        "taskDefinition": parameters.pop("definition", name),
        "desiredCount": 1,
        **parameters,
    }


def connect(namespace: str = "app.local", port: str = "door", **alias: Any) -> dict[str, Any]:
    published = {"portName": port, "clientAliases": [{"dnsName": "door", "port": 6000, **alias}]}
    return {"enabled": True, "namespace": namespace, "services": [published]}


async def test_a_task_is_registered_while_it_runs(client: EcsClient) -> None:
    maps = CloudMap(client)
    arn = await maps.service("web")
    await register(client, "web", "awsvpc")
    await client.call(
        "create_service",
        **service("web", serviceRegistries=[{"registryArn": arn}], networkConfiguration=VPC),
    )
    await client.wait("services_stable", cluster="main", services=["web"])
    (task,) = client.local.state.tasks.values()
    (attributes,) = await maps.instances(arn)
    assert attributes["AWS_INSTANCE_IPV4"] == task.address
    assert attributes["ECS_SERVICE_NAME"] == "web"

    # Another registry starts a deployment: the old task is removed from the old registry.
    other = await maps.service("other")
    registries = [{"registryArn": other}]
    updated = await client.call(
        "update_service", cluster="main", service="web", serviceRegistries=registries
    )
    assert len(updated["service"]["deployments"]) == 2
    assert updated["service"]["serviceRegistries"] == registries
    await client.wait("services_stable", cluster="main", services=["web"])
    again = await client.call(
        "update_service", cluster="main", service="web", serviceRegistries=registries
    )
    assert len(again["service"]["deployments"]) == 1
    assert (len(await maps.instances(arn)), len(await maps.instances(other))) == (0, 1)

    await client.call("delete_service", cluster="main", service="web", force=True)

    async def deregistered() -> bool:
        return not await maps.instances(other)

    await until("the task is deregistered", deregistered)


async def test_a_deployment_reports_its_service_connect_configuration(client: EcsClient) -> None:
    await CloudMap(client).service("any")
    await register(client, "web", "awsvpc", memory="128")
    configuration = connect()
    created = await client.call(
        "create_service",
        **service("web", serviceConnectConfiguration=configuration, networkConfiguration=VPC),
    )
    (deployment,) = created["service"]["deployments"]
    assert deployment["serviceConnectConfiguration"] == configuration
    for changed, count in ((configuration, 1), ({"enabled": True, "namespace": "app.local"}, 2)):
        updated = await client.call(
            "update_service", cluster="main", service="web", serviceConnectConfiguration=changed
        )
        assert len(updated["service"]["deployments"]) == count


async def test_requests_that_aws_rejects_are_rejected(client: EcsClient) -> None:
    maps = CloudMap(client)
    plain, srv = await maps.service("plain"), await maps.service("srv", "SRV")
    await register(client, "host", "host", memory="128")
    await register(client, "vpc", "awsvpc", memory="128")
    await register(client, "small", "awsvpc")
    port = {"containerName": "app", "containerPort": 6000}
    for definition, registries, words in (
        ("vpc", [{"registryArn": "arn:none"}], "not found"),
        ("vpc", [{"registryArn": plain}, {"registryArn": srv}], "Multiple service registries"),
        ("vpc", [{"registryArn": srv}], "'port' must be specified"),
        ("host", [{"registryArn": srv}], "'containerName' and 'containerPort'"),
        ("host", [{"registryArn": plain, **port}], "SRV record is the only"),
    ):
        network = {"networkConfiguration": VPC} if definition == "vpc" else {}
        request = service("s", definition=definition, serviceRegistries=registries, **network)
        code, message = await client.error_of("create_service", **request)
        assert code == "InvalidParameterException"
        assert words in message
    for definition, configuration, words in (
        ("host", connect(), "awsvpc and bridge only"),
        ("small", connect(), "task memory limit"),
        ("vpc", connect("nowhere"), "Failed to retrieve namespace"),
        ("vpc", connect(port="window"), "names no port mapping"),
    ):
        network = {} if definition == "host" else {"networkConfiguration": VPC}
        request = service("s", definition=definition, serviceConnectConfiguration=configuration)
        _, message = await client.error_of("create_service", **request, **network)
        assert words in message
    valid = {"serviceConnectConfiguration": connect(), "networkConfiguration": VPC}
    await client.call("create_service", **service("one", definition="vpc", **valid))
    _, message = await client.error_of(
        "create_service", **service("two", definition="vpc", **valid)
    )
    assert "in use in namespace app.local" in message
