"""Capacity on the local ECS, with the AWS CLI and boto3: groups, providers, placement."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.helpers.scaling_groups import Scaling
from tests.integration.stack import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    """An ECS with an empty cluster."""
    async with ecs_client(tmp_path, instances=0) as client:
        yield client


async def instances(client: EcsClient) -> list[Any]:
    arns = (await client.call("list_container_instances", cluster="main"))["containerInstanceArns"]
    if not arns:
        return []
    answer = await client.call(
        "describe_container_instances", cluster="main", containerInstances=arns
    )
    return list(answer["containerInstances"])


async def tasks(client: EcsClient, service: str) -> list[Any]:
    arns = (await client.call("list_tasks", cluster="main", serviceName=service))["taskArns"]
    if not arns:
        return []
    return list((await client.call("describe_tasks", cluster="main", tasks=arns))["tasks"])


async def register(client: EcsClient, family: str, gpus: int = 0, **members: Any) -> None:
    requirements = [{"type": "GPU", "value": str(gpus)}] if gpus else []
    await client.call(
        "register_task_definition",
        family=family,
        networkMode="host",
        containerDefinitions=[container(resourceRequirements=requirements)],
        **members,
    )


async def test_a_groups_instances_join_its_cluster_and_leave_when_terminated(
    client: EcsClient,
) -> None:
    scaling = Scaling(client.local.endpoint_url)
    attributes = 'echo ECS_INSTANCE_ATTRIBUTES=\'{"pool":"blue"}\' >> /etc/ecs/ecs.config'
    await scaling.group("gpu", size=1, instance_type="g5.12xlarge", user_data=attributes)

    async def joined(count: int) -> bool:
        return len(await instances(client)) == count

    await until("one instance joins", lambda: joined(1), 20)
    (first,) = await instances(client)
    resources = {r["name"]: r for r in first["registeredResources"]}
    assert len(resources["GPU"]["stringSetValue"]) == 4
    assert {"name": "pool", "value": "blue"} in first["attributes"]
    ec2 = await scaling.call("ec2", "describe_instances", InstanceIds=[first["ec2InstanceId"]])
    address = ec2["Reservations"][0]["Instances"][0]["PrivateIpAddress"]
    assert address.startswith("127.1.")

    await scaling.call(
        "autoscaling", "set_desired_capacity", AutoScalingGroupName="gpu", DesiredCapacity=3
    )
    await until("two more join", lambda: joined(3), 20)
    await scaling.call(
        *("autoscaling", "terminate_instance_in_auto_scaling_group"),
        InstanceId=first["ec2InstanceId"],
        ShouldDecrementDesiredCapacity=True,
    )
    await until("one is gone", lambda: joined(2), 20)
    assert (await scaling.describe("gpu"))["DesiredCapacity"] == 2
    assert first["ec2InstanceId"] not in {i["ec2InstanceId"] for i in await instances(client)}


async def test_managed_scaling_adds_instances_for_tasks_that_wait(client: EcsClient) -> None:
    scaling = Scaling(client.local.endpoint_url)
    arn = await scaling.group("gpu", max_size=2)
    await client.cli(
        *("create-capacity-provider", "--name", "pool", "--auto-scaling-group-provider"),
        f"autoScalingGroupArn={arn},managedScaling={{status=ENABLED}}",
    )
    code, _ = await client.error_of(
        *("create_service",),
        cluster="main",
        serviceName="early",
        taskDefinition="gpu",
        capacityProviderStrategy=[{"capacityProvider": "pool", "weight": 1}],
    )
    assert code == "ClientException"  # The task definition does not exist yet.
    await register(client, "gpu", gpus=1)
    strategy = [{"capacityProvider": "pool", "weight": 1}]
    code, message = await client.error_of(
        *("create_service",),
        cluster="main",
        serviceName="early",
        taskDefinition="gpu",
        capacityProviderStrategy=strategy,
    )
    assert (code, "not associated" in message) == ("InvalidParameterException", True)
    await client.cli(
        *("put-cluster-capacity-providers", "--cluster", "main", "--capacity-providers", "pool"),
        *("--default-capacity-provider-strategy", "capacityProvider=pool,weight=1"),
    )
    described = await client.cli(
        "describe-capacity-providers", "--capacity-providers", "pool", "nope"
    )
    (provider,) = described["capacityProviders"]
    assert (provider["type"], provider["status"]) == ("EC2_AUTOSCALING", "ACTIVE")
    assert provider["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 100
    assert described["failures"][0]["reason"] == "MISSING"

    # Without launch type and strategy, the cluster's default strategy applies.
    await client.call(
        *("create_service",),
        cluster="main",
        serviceName="worker",
        taskDefinition="gpu",
        desiredCount=3,
    )

    async def placed() -> bool:
        states = Counter(t["lastStatus"] for t in await tasks(client, "worker"))
        return states == {"RUNNING": 2, "PROVISIONING": 1}

    await until("the group's two instances take a task each", placed, 40)
    providers = {t["capacityProviderName"] for t in await tasks(client, "worker")}
    assert providers == {"pool"}
    assert {i["capacityProviderName"] for i in await instances(client)} == {"pool"}
    group = await scaling.describe("gpu")
    assert (group["DesiredCapacity"], group["MaxSize"]) == (2, 2)
    (service,) = (await client.call("describe_services", cluster="main", services=["worker"]))[
        "services"
    ]
    assert service["capacityProviderStrategy"] == [
        {"capacityProvider": "pool", "weight": 1, "base": 0}
    ]
    assert "launchType" not in service


async def test_a_strategy_splits_by_base_and_weight_and_changes_with_a_new_deployment(
    client: EcsClient,
) -> None:
    await client.call(
        *("put_cluster_capacity_providers",),
        cluster="main",
        capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[],
    )
    await client.call(
        *("register_task_definition",),
        family="web",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container()],
    )
    common: dict[str, Any] = {
        "cluster": "main",
        "taskDefinition": "web",
        "desiredCount": 5,
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    }
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    code, message = await client.error_of(
        "create_service",
        serviceName="web",
        launchType="FARGATE",
        capacityProviderStrategy=strategy,
        **common,
    )
    assert "launch type and capacity provider" in message, code
    await client.call(
        "create_service", serviceName="web", capacityProviderStrategy=strategy, **common
    )
    await client.wait("services_stable", cluster="main", services=["web"])
    split = Counter(t["capacityProviderName"] for t in await tasks(client, "web"))
    assert split == {"FARGATE": 2, "FARGATE_SPOT": 3}

    only_spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    update = {"cluster": "main", "service": "web", "capacityProviderStrategy": only_spot}
    _, message = await client.error_of("update_service", **update)
    assert "force a new deployment" in message
    await client.call("update_service", forceNewDeployment=True, **update)

    async def all_spot() -> bool:
        providers = Counter(t["capacityProviderName"] for t in await tasks(client, "web"))
        return providers == {"FARGATE_SPOT": 5}

    await until("all on Spot", all_spot, 40)
    for invalid, words in (
        ([{"capacityProvider": "FARGATE", "weight": 0}], "greater than 0"),
        ([{**s, "base": 1} for s in strategy], "base"),
        ([*only_spot, *only_spot], "duplicate"),
    ):
        _, message = await client.error_of(
            "create_service", serviceName="bad", capacityProviderStrategy=invalid, **common
        )
        assert words in message


async def test_strategies_and_constraints_choose_the_instance(client: EcsClient) -> None:
    for zone, kind in (("a", "g5.xlarge"), ("a", "g5.xlarge"), ("b", "g5.xlarge"), ("b", "m5")):
        await client.local.add_instance("main", kind, availability_zone=f"us-east-1{zone}")
    await register(client, "app")
    by_arn = {i["containerInstanceArn"]: i for i in await instances(client)}

    async def placed(name: str, count: int, **parameters: Any) -> list[dict[str, str]]:
        """Return the attributes of the instances of a service's tasks."""
        await client.call(
            *("create_service",),
            cluster="main",
            serviceName=name,
            taskDefinition="app",
            desiredCount=count,
            **parameters,
        )
        await client.wait("services_stable", cluster="main", services=[name])
        used = [by_arn[t["containerInstanceArn"]] for t in await tasks(client, name)]
        return [
            {"arn": i["containerInstanceArn"], **{a["name"]: a["value"] for a in i["attributes"]}}
            for i in used
        ]

    zones = "attribute:ecs.availability-zone"
    spread = await placed("spread", 2, placementStrategy=[{"type": "spread", "field": zones}])
    assert len({i["ecs.availability-zone"] for i in spread}) == 2
    packed = await placed("packed", 3, placementStrategy=[{"type": "binpack", "field": "memory"}])
    assert len({i["arn"] for i in packed}) == 1
    member = {"type": "memberOf", "expression": "attribute:ecs.instance-type == m5"}
    bound = await placed("bound", 2, placementConstraints=[member])
    assert {i["ecs.instance-type"] for i in bound} == {"m5"}
    not_m5 = {"type": "memberOf", "expression": "attribute:ecs.instance-type not_in [m5, m6]"}
    apart = await placed("apart", 3, placementConstraints=[not_m5, {"type": "distinctInstance"}])
    assert len({i["arn"] for i in apart}) == 3
    assert {i["ecs.instance-type"] for i in apart} == {"g5.xlarge"}
    _, message = await client.error_of(
        *("create_service",),
        cluster="main",
        serviceName="bad",
        taskDefinition="app",
        placementStrategy=[{"type": "binpack", "field": "gpu"}],
    )
    assert "binpack" in message
