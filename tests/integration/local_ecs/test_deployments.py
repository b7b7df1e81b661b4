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


async def register(client: EcsClient, *families: str, **members: Any) -> None:
    for family in families:
        await client.call(
            "register_task_definition", family=family, containerDefinitions=[container(**members)]
        )


async def describe(client: EcsClient, name: str) -> dict[str, Any]:
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


async def test_rebalancing_is_the_default_and_excludes_a_maximum_of_100_percent(
    client: EcsClient,
) -> None:
    await register(client, "app")
    service = ("--cluster", "main", "--service", "s")
    created = await client.cli(
        *("create-service", "--cluster", "main", "--service-name", "s"),
        *("--task-definition", "app", "--desired-count", "0"),
    )
    assert created["service"]["availabilityZoneRebalancing"] == "ENABLED"
    within = ("--deployment-configuration", "minimumHealthyPercent=0,maximumPercent=100")
    message = await client.cli("update-service", *service, *within, ok=False)
    assert "An error occurred (InvalidParameterException) when calling the UpdateService" in message
    assert "Availability Zone Rebalancing does not support maximumPercent <= 100 %" in message
    disabled = ("--availability-zone-rebalancing", "DISABLED")
    updated = await client.cli("update-service", *service, *within, *disabled)
    assert updated["service"]["availabilityZoneRebalancing"] == "DISABLED"
    message = await client.cli(
        "update-service", *service, "--availability-zone-rebalancing", "ENABLED", ok=False
    )
    assert "does not support maximumPercent <= 100 %" in message
    # An update that does not name it keeps it; in a service that is not compatible it is off.
    unchanged = await client.call("update_service", cluster="main", service="s", desiredCount=0)
    assert unchanged["service"]["availabilityZoneRebalancing"] == "DISABLED"
    limits = {"minimumHealthyPercent": 0, "maximumPercent": 100}
    parameters = {"cluster": "main", "taskDefinition": "app", "deploymentConfiguration": limits}
    other = await client.call("create_service", serviceName="t", desiredCount=0, **parameters)
    assert other["service"]["availabilityZoneRebalancing"] == "DISABLED"
    code, message = await client.error_of(
        "create_service", serviceName="u", availabilityZoneRebalancing="ENABLED", **parameters
    )
    assert (code, message) == (
        "InvalidParameterException",
        "Availability Zone Rebalancing does not support maximumPercent <= 100 %",
    )


async def test_an_unhealthy_task_is_not_replaced_in_its_grace_period(client: EcsClient) -> None:
    check = {"command": ["CMD-SHELL", "exit 1"], "interval": 5, "retries": 1, "startPeriod": 0}
    await register(client, "unhealthy", healthCheck=check)
    for name, seconds in (("spared", "600"), ("strict", "0")):
        await client.cli(
            *("create-service", "--cluster", "main", "--service-name", name),
            *("--task-definition", "unhealthy", "--desired-count", "1"),
            *("--health-check-grace-period-seconds", seconds),
        )
    assert (await describe(client, "spared"))["healthCheckGracePeriodSeconds"] == 600

    async def replaced() -> bool:
        service = await describe(client, "strict")
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

    async def stopped() -> bool:
        return task["taskArn"] not in await running(client, "spared")

    await until("it is stopped", stopped, 20)
    code, message = await client.error_of(
        "update_service", cluster="main", service="spared", healthCheckGracePeriodSeconds=-1
    )
    assert code == "InvalidParameterException"
    assert "between 0 and 2147483647" in message


async def test_a_change_of_network_starts_a_deployment(client: EcsClient) -> None:
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


async def test_lost_tasks_keep_their_revision_and_scale_out_applies_to_both_revisions(
    client: EcsClient,
) -> None:
    await register(client, "app")
    check = {"command": ["CMD-SHELL", "exit 1"], "interval": 30, "startPeriod": 300}
    await register(client, "app", healthCheck=check)
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
        tasks = await running(client, "s")
        return first not in tasks and "app:1" in tasks.values()

    await until("the old revision is back", replaced, 20)
    await client.call("update_service", cluster="main", service="s", desiredCount=2)

    async def scaled_out() -> bool:
        return list((await running(client, "s")).values()).count("app:1") == 2

    await until("two tasks have the old revision", scaled_out, 20)
    earlier = (await describe(client, "s"))["deployments"][-1]
    assert (earlier["status"], earlier["desiredCount"]) == ("ACTIVE", 2)


async def test_a_sixth_deployment_is_rejected_while_five_have_tasks(client: EcsClient) -> None:
    await register(client, "app")
    await client.call(
        "create_service", cluster="main", serviceName="s", taskDefinition="app", desiredCount=1
    )
    force = ("update-service", "--cluster", "main", "--service", "s", "--force-new-deployment")
    for number in range(5):

        async def started(count: int = number + 1) -> bool:
            return len(set(await running(client, "s"))) >= count

        await client.call(
            "update_service",
            cluster="main",
            service="s",
            desiredCount=number + 1,
        )
        await until("a task of the newest deployment runs", started, 20)
        await client.call(
            "update_task_protection",
            cluster="main",
            tasks=list(await running(client, "s")),
            protectionEnabled=True,
            expiresInMinutes=5,
        )
        if number < 4:
            await client.cli(*force)
    assert len((await describe(client, "s"))["deployments"]) == 5
    message = await client.cli(*force, ok=False)
    assert "(InvalidParameterException)" in message
    assert "5 active deployments exist, unable to create new deployment." in message


async def test_ecs_exec_is_on_in_tasks_that_start_after_it_is_enabled(client: EcsClient) -> None:
    await register(client, "plain")
    await client.call(
        "register_task_definition",
        family="app",
        taskRoleArn="arn:aws:iam::123456789012:role/exec",
        containerDefinitions=[container()],
    )
    names = {"cluster": "main", "service": "s"}
    created = await client.call(
        "create_service", cluster="main", serviceName="s", taskDefinition="app", desiredCount=1
    )
    assert created["service"]["enableExecuteCommand"] is False

    async def enabled() -> dict[str, bool]:
        arns = list(await running(client, "s"))
        tasks = await client.call("describe_tasks", cluster="main", tasks=arns) if arns else {}
        return {t["taskArn"]: t["enableExecuteCommand"] for t in tasks.get("tasks", ())}

    async def one_task() -> bool:
        return len(await enabled()) == 1

    await until("it runs", one_task, 20)
    updated = await client.call(
        "update_service", **names, desiredCount=2, enableExecuteCommand=True
    )
    assert updated["service"]["enableExecuteCommand"] is True
    assert len(updated["service"]["deployments"]) == 1

    async def both_run() -> bool:
        return sorted((await enabled()).values()) == [False, True]

    await until("only the new task has it", both_run, 20)
    code, message = await client.error_of("update_service", **names, taskDefinition="plain")
    assert code == "InvalidParameterException"
    assert message.startswith("The service couldn't be updated because a valid taskRoleArn is not")
