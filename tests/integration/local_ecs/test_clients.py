"""The local ECS with third-party clients: the AWS CLI and boto3 with its waiters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.integration.stack import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

VPC = "awsvpcConfiguration={subnets=[subnet-1],securityGroups=[sg-1]}"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    async with ecs_client(tmp_path, instances=2) as client:
        yield client


async def test_the_cli_runs_a_service_to_its_end(client: EcsClient) -> None:
    definition = {
        "family": "web",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [container()],
    }
    registered = await client.cli(
        "register-task-definition", "--cli-input-json", json.dumps(definition)
    )
    assert registered["taskDefinition"]["revision"] == 1
    await client.cli(
        *("create-service", "--cluster", "main", "--service-name", "web"),
        *("--task-definition", "web", "--desired-count", "2", "--launch-type", "FARGATE"),
        *("--network-configuration", VPC),
    )
    await client.cli("wait", "services-stable", "--cluster", "main", "--services", "web")
    (service,) = (await client.cli("describe-services", "--cluster", "main", "--services", "web"))[
        "services"
    ]
    assert (service["runningCount"], service["pendingCount"]) == (2, 0)
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"
    arns = (await client.cli("list-tasks", "--cluster", "main", "--service-name", "web"))[
        "taskArns"
    ]
    tasks = (await client.cli("describe-tasks", "--cluster", "main", "--tasks", *arns))["tasks"]
    addresses = {
        d["value"]
        for t in tasks
        for d in t["attachments"][0]["details"]
        if d["name"] == "privateIPv4Address"
    }
    assert len(addresses) == 2
    await client.cli(
        "update-service", "--cluster", "main", "--service", "web", "--desired-count", "0"
    )
    await client.cli("wait", "services-stable", "--cluster", "main", "--services", "web")
    await client.cli("delete-service", "--cluster", "main", "--service", "web")
    await client.cli("wait", "services-inactive", "--cluster", "main", "--services", "web")


async def test_the_cli_runs_and_stops_a_task(client: EcsClient, tmp_path: Path) -> None:
    term = tmp_path / "term"
    command = f"trap 'echo got > {term}; exit 3' TERM; while :; do sleep 0.1; done"
    await client.call(
        "register_task_definition",
        family="single",
        networkMode="host",
        containerDefinitions=[container(command=command)],
    )
    started = await client.cli("run-task", "--cluster", "main", "--task-definition", "single")
    (task,) = started["tasks"]
    assert started["failures"] == []
    await client.cli("wait", "tasks-running", "--cluster", "main", "--tasks", task["taskArn"])
    await client.cli(
        *("stop-task", "--cluster", "main", "--task", task["taskArn"], "--reason", "enough")
    )
    await client.cli("wait", "tasks-stopped", "--cluster", "main", "--tasks", task["taskArn"])
    (stopped,) = (
        await client.cli("describe-tasks", "--cluster", "main", "--tasks", task["taskArn"])
    )["tasks"]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
    assert stopped["containers"][0]["exitCode"] == 3
    assert term.read_text() == "got\n"


async def test_lists_are_paginated_for_the_cli_and_for_boto3(client: EcsClient) -> None:
    for _ in range(7):
        await client.call(
            "register_task_definition", family="many", containerDefinitions=[container()]
        )
    paged = await client.cli("list-task-definitions", "--family-prefix", "many", "--page-size", "2")
    assert len(paged["taskDefinitionArns"]) == 7
    before = len([c for c in client.local.calls if c.operation == "ListTaskDefinitions"])
    assert before == 4
    first = await client.cli("list-task-definitions", "--max-items", "3")
    rest = await client.cli("list-task-definitions", "--starting-token", first["NextToken"])
    assert first["taskDefinitionArns"] + rest["taskDefinitionArns"] == paged["taskDefinitionArns"]
    pages = client.boto.get_paginator("list_container_instances").paginate(
        cluster="main", PaginationConfig={"PageSize": 1}
    )
    assert [len(p["containerInstanceArns"]) for p in await asyncio.to_thread(list, pages)] == [1, 1]


async def test_requests_that_aws_rejects_are_rejected(client: EcsClient) -> None:
    register = {"containerDefinitions": [container()], "family": "f"}
    await client.call("register_task_definition", **register)
    service = {"cluster": "main", "serviceName": "s", "taskDefinition": "f", "desiredCount": 0}
    await client.call("create_service", **service)
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("create_service", service, "InvalidParameterException", "not idempotent"),
        (
            "describe_services",
            {"cluster": "main", "services": [f"s{i}" for i in range(11)]},
            "InvalidParameterException",
            "10",
        ),
        (
            "describe_tasks",
            {"cluster": "main", "tasks": ["0" * 32] * 101},
            "InvalidParameterException",
            "100",
        ),
        ("list_tasks", {"cluster": "none"}, "ClusterNotFoundException", "Cluster not found"),
        ("stop_task", {"cluster": "main", "task": "0" * 32}, "InvalidParameterException", "found"),
        (
            "update_service",
            {"cluster": "main", "service": "none"},
            "ServiceNotFoundException",
            "not found",
        ),
        ("describe_task_definition", {"taskDefinition": "no"}, "ClientException", "Unable"),
        (
            "register_task_definition",
            {"family": "f", "containerDefinitions": [container(), container()]},
            "ClientException",
            "unique",
        ),
        (
            "register_task_definition",
            {
                "family": "f",
                "networkMode": "host",
                "requiresCompatibilities": ["FARGATE"],
                "cpu": "256",
                "memory": "512",
                "containerDefinitions": [container()],
            },
            "ClientException",
            "awsvpc",
        ),
    ]
    for operation, parameters, code, text in cases:
        error, message = await client.error_of(operation, **parameters)
        assert (error, text in message) == (code, True), (operation, error, message)
    await client.call(
        "register_task_definition",
        family="vpc",
        networkMode="awsvpc",
        containerDefinitions=[container()],
    )
    code, message = await client.error_of(
        "create_service", cluster="main", serviceName="v", taskDefinition="vpc", desiredCount=1
    )
    assert code == "InvalidParameterException"
    assert "awsvpc" in message
    missing = await client.call("describe_tasks", cluster="main", tasks=["0" * 32])
    assert missing["failures"][0]["reason"] == "MISSING"
    code, _ = await client.error_of("discover_poll_endpoint")
    assert code == "UnsupportedFeatureException"


async def test_gpu_slots_and_host_ports_are_finite(client: EcsClient) -> None:
    gpu: Any = {"resourceRequirements": [{"type": "GPU", "value": "1"}]}
    await client.call(
        "register_task_definition",
        family="gpu",
        networkMode="host",
        containerDefinitions=[container(**gpu)],
    )
    await client.call(
        "register_task_definition",
        family="port",
        networkMode="host",
        containerDefinitions=[container(portMappings=[{"containerPort": 8000}])],
    )
    for family, reason in (("gpu", "RESOURCE:GPU"), ("port", "RESOURCE:PORTS")):
        started = await client.call("run_task", cluster="main", taskDefinition=family, count=3)
        assert len(started["tasks"]) == 2
        assert [f["reason"] for f in started["failures"]] == [reason]
    arns = (await client.call("list_container_instances", cluster="main"))["containerInstanceArns"]
    described = await client.call(
        "describe_container_instances", cluster="main", containerInstances=arns
    )
    for instance in described["containerInstances"]:
        remaining = {r["name"]: r for r in instance["remainingResources"]}
        assert remaining["GPU"]["stringSetValue"] == []
        assert "8000" in remaining["PORTS"]["stringSetValue"]


async def test_the_waiter_ends_after_a_deployment_has_replaced_all_tasks(client: EcsClient) -> None:
    for command in ("exec sleep 601", "exec sleep 602"):
        await client.call(
            "register_task_definition",
            family="d",
            containerDefinitions=[container(command=command)],
        )
    await client.call(
        "create_service", cluster="main", serviceName="d", taskDefinition="d:1", desiredCount=2
    )
    await client.wait("services_stable", cluster="main", services=["d"])
    first = await client.call("list_tasks", cluster="main", serviceName="d")
    await client.call("update_service", cluster="main", service="d", taskDefinition="d:2")
    (service,) = (await client.call("describe_services", cluster="main", services=["d"]))[
        "services"
    ]
    assert [d["status"] for d in service["deployments"]] == ["PRIMARY", "ACTIVE"]
    await client.wait("services_stable", cluster="main", services=["d"])
    second = await client.call("list_tasks", cluster="main", serviceName="d")
    assert not set(first["taskArns"]) & set(second["taskArns"])
    tasks = await client.call("describe_tasks", cluster="main", tasks=second["taskArns"])
    assert {t["taskDefinitionArn"].rsplit(":", 1)[1] for t in tasks["tasks"]} == {"2"}


async def test_a_protected_task_outlives_scale_in(client: EcsClient) -> None:
    await client.call("register_task_definition", family="p", containerDefinitions=[container()])
    await client.call(
        "create_service", cluster="main", serviceName="p", taskDefinition="p", desiredCount=2
    )
    await client.wait("services_stable", cluster="main", services=["p"])
    (protected, other) = (await client.call("list_tasks", cluster="main", serviceName="p"))[
        "taskArns"
    ]
    enable = {"cluster": "main", "protectionEnabled": True, "expiresInMinutes": 5}
    disable = {"cluster": "main", "protectionEnabled": False}
    both = await client.call("update_task_protection", tasks=[protected, other], **enable)
    assert (len(both["protectedTasks"]), both["failures"]) == (2, [])
    await client.call("update_service", cluster="main", service="p", desiredCount=0)
    # "more protected tasks than the desired count" (developer guide): HTTP 200, and failures.
    blocked = await client.call("update_task_protection", tasks=[protected], **enable)
    assert blocked["protectedTasks"] == []
    (failure,) = blocked["failures"]
    assert (failure["arn"], failure["reason"]) == (protected, "DEPLOYMENT_BLOCKED")
    await client.call("update_task_protection", tasks=[other], **disable)
    await client.wait("tasks_stopped", cluster="main", tasks=[other])
    (task,) = (await client.call("describe_tasks", cluster="main", tasks=[protected]))["tasks"]
    assert task["lastStatus"] == "RUNNING"
    await client.call("update_task_protection", tasks=[protected], **disable)
    await client.wait("tasks_stopped", cluster="main", tasks=[protected])


async def test_tasks_that_crash_or_are_on_a_draining_instance_are_replaced(
    client: EcsClient,
) -> None:
    await client.call(
        "register_task_definition",
        family="c",
        containerDefinitions=[container(command="exec sleep 1")],
    )
    await client.call(
        "create_service", cluster="main", serviceName="c", taskDefinition="c", desiredCount=1
    )

    async def replaced() -> bool:
        stopped = await client.call(
            "list_tasks", cluster="main", serviceName="c", desiredStatus="STOPPED"
        )
        return len(stopped["taskArns"]) >= 2

    await until("two tasks ended and were replaced", replaced, 30)
    await client.call("delete_service", cluster="main", service="c", force=True)
    await client.call("register_task_definition", family="s", containerDefinitions=[container()])
    await client.call(
        "create_service", cluster="main", serviceName="s", taskDefinition="s", desiredCount=2
    )
    await client.wait("services_stable", cluster="main", services=["s"])
    drained, remaining = (await client.call("list_container_instances", cluster="main"))[
        "containerInstanceArns"
    ]
    await client.call(
        "update_container_instances_state",
        cluster="main",
        containerInstances=[drained],
        status="DRAINING",
    )

    async def moved() -> bool:
        arns = (await client.call("list_tasks", cluster="main", serviceName="s"))["taskArns"]
        tasks = (await client.call("describe_tasks", cluster="main", tasks=arns))["tasks"]
        return [t["containerInstanceArn"] for t in tasks if t["lastStatus"] == "RUNNING"] == [
            remaining,
            remaining,
        ]

    await until("all tasks on the other instance", moved, 30)
