"""Rejections and automatic actions of ECS while a service is deployed, seen by the AWS CLI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.integration.stack import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    async with ecs_client(tmp_path, gpus=2) as client:
        yield client


async def register(client: EcsClient, *families: str, **more: Any) -> None:
    for family in families:
        await client.call(
            "register_task_definition", family=family, containerDefinitions=[container(**more)]
        )


async def described(client: EcsClient, name: str) -> dict[str, Any]:
    answer = await client.call("describe_services", cluster="main", services=[name])
    service: dict[str, Any] = answer["services"][0]
    return service


async def running(client: EcsClient, name: str) -> dict[str, str]:
    """Return task ARN -> task definition of the tasks that should run."""
    arns = (await client.call("list_tasks", cluster="main", serviceName=name))["taskArns"]
    if not arns:
        return {}
    tasks = await client.call("describe_tasks", cluster="main", tasks=arns)
    return {
        t["taskArn"]: t["taskDefinitionArn"].rsplit("/", 1)[-1]
        for t in tasks["tasks"]
        if t["desiredStatus"] == "RUNNING"
    }


async def test_rebalancing_is_on_by_default_and_refuses_to_stay_within_100_percent(
    client: EcsClient,
) -> None:
    await register(client, "app")
    service = ("--cluster", "main", "--service", "s")
    made = await client.cli(
        *("create-service", "--cluster", "main", "--service-name", "s"),
        *("--task-definition", "app", "--desired-count", "0"),
    )
    assert made["service"]["availabilityZoneRebalancing"] == "ENABLED"
    within = ("--deployment-configuration", "minimumHealthyPercent=0,maximumPercent=100")
    said = await client.cli("update-service", *service, *within, ok=False)
    assert "An error occurred (InvalidParameterException) when calling the UpdateService" in said
    assert "Availability Zone Rebalancing does not support maximumPercent <= 100 %" in said
    off = ("--availability-zone-rebalancing", "DISABLED")
    updated = await client.cli("update-service", *service, *within, *off)
    assert updated["service"]["availabilityZoneRebalancing"] == "DISABLED"
    said = await client.cli(
        "update-service", *service, "--availability-zone-rebalancing", "ENABLED", ok=False
    )
    assert "does not support maximumPercent <= 100 %" in said
    # An update that does not name it keeps it; in a service that is not compatible it is off.
    kept = await client.call("update_service", cluster="main", service="s", desiredCount=0)
    assert kept["service"]["availabilityZoneRebalancing"] == "DISABLED"
    limits = {"minimumHealthyPercent": 0, "maximumPercent": 100}
    asked = {"cluster": "main", "taskDefinition": "app", "deploymentConfiguration": limits}
    other = await client.call("create_service", serviceName="t", desiredCount=0, **asked)
    assert other["service"]["availabilityZoneRebalancing"] == "DISABLED"
    code, message = await client.error_of(
        "create_service", serviceName="u", availabilityZoneRebalancing="ENABLED", **asked
    )
    assert (code, message) == (
        "InvalidParameterException",
        "Availability Zone Rebalancing does not support maximumPercent <= 100 %",
    )


async def test_a_grace_period_spares_a_task_whose_container_check_fails(client: EcsClient) -> None:
    check = {"command": ["CMD-SHELL", "exit 1"], "interval": 5, "retries": 1, "startPeriod": 0}
    await register(client, "sick", healthCheck=check)
    for name, seconds in (("spared", "600"), ("strict", "0")):
        await client.cli(
            *("create-service", "--cluster", "main", "--service-name", name),
            *("--task-definition", "sick", "--desired-count", "1"),
            *("--health-check-grace-period-seconds", seconds),
        )
    assert (await described(client, "spared"))["healthCheckGracePeriodSeconds"] == 600

    async def replaced() -> bool:
        service = await described(client, "strict")
        return any("failed container health checks" in e["message"] for e in service["events"])

    await until("it is replaced", replaced, 30)
    (task,) = (
        await client.call(
            "describe_tasks", cluster="main", tasks=list(await running(client, "spared"))
        )
    )["tasks"]
    assert (task["lastStatus"], task["healthStatus"]) == ("RUNNING", "UNHEALTHY")
    # Without protection it is replaced at once; the setting applies to running tasks too.
    await client.call(
        "update_service", cluster="main", service="spared", healthCheckGracePeriodSeconds=0
    )

    async def gone() -> bool:
        return task["taskArn"] not in await running(client, "spared")

    await until("it is gone", gone, 20)
    code, message = await client.error_of(
        "update_service", cluster="main", service="spared", healthCheckGracePeriodSeconds=-1
    )
    assert code == "InvalidParameterException"
    assert "between 0 and 2147483647" in message


async def test_another_network_begins_a_deployment(client: EcsClient) -> None:
    await client.call(
        "register_task_definition",
        family="vpc",
        networkMode="awsvpc",
        containerDefinitions=[container()],
    )
    await client.cli(
        *("create-service", "--cluster", "main", "--service-name", "v", "--desired-count", "1"),
        *("--task-definition", "vpc", "--network-configuration"),
        "awsvpcConfiguration={subnets=[subnet-1],securityGroups=[sg-1]}",
    )
    await client.wait("services_stable", cluster="main", services=["v"])
    before = await running(client, "v")
    updated = await client.cli(
        *("update-service", "--cluster", "main", "--service", "v", "--network-configuration"),
        "awsvpcConfiguration={subnets=[subnet-2],securityGroups=[sg-1]}",
    )
    assert [d["status"] for d in updated["service"]["deployments"]] == ["PRIMARY", "ACTIVE"]
    await client.wait("services_stable", cluster="main", services=["v"])
    after = await running(client, "v")
    assert not before.keys() & after.keys()
    assert set(before.values()) == set(after.values())


async def test_a_lost_old_task_comes_back_at_the_old_revision_and_counts_rise_on_both_sides(
    client: EcsClient,
) -> None:
    await register(client, "app")
    never = {"command": ["CMD-SHELL", "exit 1"], "interval": 30, "startPeriod": 300}
    await register(client, "app", healthCheck=never)
    await client.cli(
        *("create-service", "--cluster", "main", "--service-name", "s"),
        *("--task-definition", "app:1", "--desired-count", "1"),
    )
    await client.wait("services_stable", cluster="main", services=["s"])
    (first,) = await running(client, "s")
    await client.cli(
        *("update-service", "--cluster", "main", "--service", "s", "--task-definition", "app:2")
    )
    task = client.local.state.tasks[first.rsplit("/", 1)[-1]]
    assert task.process is not None
    await task.process.kill(9)

    async def replaced() -> bool:
        found = await running(client, "s")
        return first not in found and "app:1" in found.values()

    await until("the old revision is back", replaced, 20)
    await client.call("update_service", cluster="main", service="s", desiredCount=2)

    async def risen() -> bool:
        return list((await running(client, "s")).values()).count("app:1") == 2

    await until("the old side has two", risen, 20)
    former = (await described(client, "s"))["deployments"][-1]
    assert (former["status"], former["desiredCount"]) == ("ACTIVE", 2)


async def test_a_sixth_deployment_is_refused_while_five_have_tasks(client: EcsClient) -> None:
    await register(client, "app")
    await client.call(
        "create_service", cluster="main", serviceName="s", taskDefinition="app", desiredCount=1
    )
    force = ("update-service", "--cluster", "main", "--service", "s", "--force-new-deployment")
    for number in range(5):

        async def fresh(known: int = number + 1) -> bool:
            return len(set(await running(client, "s"))) >= known

        await client.call(
            "update_service",
            cluster="main",
            service="s",
            desiredCount=number + 1,
        )
        await until("a task of the newest runs", fresh, 20)
        await client.call(
            "update_task_protection",
            cluster="main",
            tasks=list(await running(client, "s")),
            protectionEnabled=True,
            expiresInMinutes=5,
        )
        if number < 4:
            await client.cli(*force)
    assert len((await described(client, "s"))["deployments"]) == 5
    said = await client.cli(*force, ok=False)
    assert "(InvalidParameterException)" in said
    assert "5 active deployments exist, unable to create new deployment." in said
