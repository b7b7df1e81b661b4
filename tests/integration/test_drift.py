"""Later declarations and manual changes are applied to, or reverted on, existing services."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.stack import Stack, component_of

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/fe/0123456789abcdef"


async def described(stack: Stack, name: str = "frontend") -> dict[str, Any]:
    component = stack.graph.component(name)
    answer = await stack.aws(
        "DescribeServices",
        cluster=component.cluster,
        services=[component.service],
        include=["TAGS"],
    )
    service: dict[str, Any]
    (service,) = answer["services"]
    return service


def tags(service: dict[str, Any]) -> dict[str, str]:
    every = {t["key"]: t["value"] for t in service["tags"]}
    return {k: v for k, v in every.items() if not k.startswith("ecs-dynamo:")}


async def test_declarations_of_later_and_changes_by_hand_are_applied(stack: Stack) -> None:
    short = {"drainSeconds": 2, "leaseSeconds": 3}
    stack.edit(lambda d: d.update(tags={"team": "llm", "cost": "7"}, runtime=short))
    await stack.converge()
    component = stack.graph.component("frontend")
    before = await described(stack)
    assert tags(before) == {"team": "llm", "cost": "7"}

    def attach(document: dict[str, Any]) -> None:
        component_of(document, "frontend")["targetGroupArn"] = GROUP
        document["tags"] = {"team": "ml"}

    stack.edit(attach)
    code, out, _ = await stack.cli("plan", "-f", str(stack.graph_file))
    assert code == 0
    assert "target group differs" in out
    assert "tags differ: team = 'ml', without cost" in out
    await stack.converge()
    attached = await described(stack)
    expected = [{"targetGroupArn": GROUP, "containerName": "frontend", "containerPort": 8000}]
    assert attached["loadBalancers"] == expected
    assert attached["deployments"][0]["id"] != before["deployments"][0]["id"]
    assert tags(attached) == {"team": "ml"}

    # A manual change as a rollout begins: with one replica, nothing could ever be replaced.
    await stack.aws(
        "UpdateService",
        cluster=component.cluster,
        service=component.service,
        deploymentConfiguration={"maximumPercent": 150, "minimumHealthyPercent": 50},
        forceNewDeployment=True,
        propagateTags="NONE",
    )
    await stack.converge()
    restored = await described(stack)
    assert restored["loadBalancers"] == expected
    limits = restored["deploymentConfiguration"]
    assert (limits["minimumHealthyPercent"], limits["maximumPercent"]) == (100, 200)
    assert restored["propagateTags"] == "SERVICE"
    await stack.chat()


async def test_another_launch_type_is_refused_with_its_remedy(stack: Stack) -> None:
    """Nothing starts, since the infrastructure's service is compared before anything is created."""
    await stack.aws("CreateCluster", clusterName="dynamo-fargate")
    component = stack.graph.component("etcd-nats")
    template = {k: v for k, v in component.template.items() if k != "requiresCompatibilities"}
    await stack.aws("RegisterTaskDefinition", **template)
    await stack.aws(
        "CreateService",
        cluster=component.cluster,
        serviceName=component.service,
        taskDefinition=component.family,
        desiredCount=0,
        launchType="EC2",
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-local"]}},
        tags=[{"key": "ecs-dynamo:graph", "value": "local"}],
    )
    done = await stack.observe()
    (wait,) = [w for w in done.plan.waits if w.component == "etcd-nats"]
    assert "has launch type EC2, FARGATE is declared" in wait.reason
    assert "declare launchType EC2" in wait.reason
    assert not [a for a in done.plan.actions if a.component == "etcd-nats"]


async def test_a_load_balancer_needs_a_container_and_a_port_that_are_there(stack: Stack) -> None:
    await stack.aws("CreateCluster", clusterName="c")
    container = {"name": "app", "image": "a", "memory": 8, "portMappings": [{"containerPort": 80}]}
    await stack.aws("RegisterTaskDefinition", family="f", containerDefinitions=[container])

    async def refused(name: str, port: int) -> str:
        target = {"targetGroupArn": GROUP, "containerName": name, "containerPort": port}
        service: dict[str, Any] = {"cluster": "c", "serviceName": "s", "taskDefinition": "f"}
        with pytest.raises(ClientError) as caught:
            await stack.aws("CreateService", **service, desiredCount=0, loadBalancers=[target])
        error = caught.value.response["Error"]
        assert error["Code"] == "InvalidParameterException"
        return error["Message"]

    assert await refused("other", 80) == (
        "The container other does not exist in the task definition."
    )
    assert await refused("app", 81) == (
        "The container app did not have a container port 81 defined."
    )
