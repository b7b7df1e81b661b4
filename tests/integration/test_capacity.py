"""GPU capacity with real processes: predicted, raised, split by provider, released."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import TAG_GRAPH
from tests.helpers.scaling_groups import Scaling
from tests.integration.stack import Stack, component_of, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

GPU_CLUSTER = "dynamo-GPU"


def decode(document: dict[str, Any]) -> dict[str, Any]:
    return component_of(document, "decode")


def replicas(count: int) -> Any:
    return lambda document: decode(document).update(replicas=count)


async def instances(stack: Stack) -> list[dict[str, Any]]:
    arns = (await stack.aws("ListContainerInstances", cluster=GPU_CLUSTER))["containerInstanceArns"]
    answer = await stack.aws(
        *("DescribeContainerInstances",),
        cluster=GPU_CLUSTER,
        containerInstances=arns,
        include=["TAGS"],
    )
    return list(answer["containerInstances"])


async def test_what_does_not_fit_is_said_raised_and_released(stack: Stack) -> None:
    """Four instances with one GPU run prefill and decode; five decode replicas need two more."""
    scaling = Scaling(stack.url)
    await scaling.group("gpu-workers", cluster=GPU_CLUSTER, max_size=5)
    # The warm pool is queried too, because its instances are not capacity yet; it stays empty.
    pool = {"AutoScalingGroupName": "gpu-workers", "MinSize": 0}
    await scaling.call("autoscaling", "put_warm_pool", **pool)
    await stack.converge()
    stack.edit(replicas(5))
    code, out, err = await stack.cli("plan", "-f", str(stack.graph_file))
    assert code == 0, err
    (short,) = (line for line in out.splitlines() if line.startswith("short: "))
    assert short.startswith("short: decode: 2 of 5 replicas do not fit (1 GPU slot each): GPU on 4")
    assert "g5.xlarge would fit" in short
    last = await stack.observe()
    (condition,) = (
        c for c in last.plan.conditions if c.type is ConditionType.CAPACITY_SHORT and c.status
    )
    assert (condition.component, condition.reason) == ("decode", "DoesNotFit")

    def declare(document: dict[str, Any]) -> None:
        groups = [{"name": "gpu-workers", "min": 0, "max": 3}]
        document["capacity"] = {"autoScalingGroups": groups, "scaleInSeconds": 2}

    stack.edit(declare)
    code, out, err = await stack.cli("plan", "-f", str(stack.graph_file))
    assert "raise Auto Scaling group gpu-workers to 2" in out, err
    await stack.converge(90)
    assert (await scaling.describe("gpu-workers"))["DesiredCapacity"] == 2
    assert len(stack.tasks("decode")) == 5
    await stack.chat()

    # One replica less: its instance, and only this one, is released after the window.
    # Protection makes ECS choose the replica on an instance of the group.
    ids = {i["InstanceId"] for i in (await scaling.describe("gpu-workers"))["Instances"]}
    own = {i["containerInstanceArn"] for i in await instances(stack) if i["ec2InstanceId"] in ids}
    unprotected = next(t.arn for t in stack.tasks("decode") if t.container_instance_arn in own)
    await stack.aws(
        *("UpdateTaskProtection",),
        cluster=GPU_CLUSTER,
        tasks=[t.arn for t in stack.tasks("decode") if t.arn != unprotected],
        protectionEnabled=True,
    )
    stack.edit(replicas(4))
    async with stack.reconciler() as reconciler:

        async def released() -> bool:
            await reconciler.run_pass()
            return bool((await scaling.describe("gpu-workers"))["DesiredCapacity"] == 1)

        await until("an instance is released", released, 60)
        await until_settled(reconciler)
    left = await instances(stack)
    assert len(left) == 5
    assert all(i["status"] == "ACTIVE" for i in left)
    stack.last = await stack.observe()
    on = {t.container_instance_arn for t in stack.tasks("decode")}
    assert on <= {i["containerInstanceArn"] for i in left}
    assert len(stack.tasks("decode")) == 4
    await stack.chat()
    stopped = await stack.aws("ListTasks", cluster=GPU_CLUSTER, desiredStatus="STOPPED")
    if stopped["taskArns"]:
        tasks = await stack.aws("DescribeTasks", cluster=GPU_CLUSTER, tasks=stopped["taskArns"])
        reasons = {t["stopCode"] for t in tasks["tasks"]}
        assert reasons == {"ServiceSchedulerInitiated"}, "an instance with a task was terminated"


async def until_settled(reconciler: Any) -> None:
    """Wait until the graph has converged."""

    async def settled() -> bool:
        done = await reconciler.run_pass()
        return bool(done.converged)

    await until("settled", settled, 60)


async def test_what_was_drained_to_go_back_is_kept_when_it_is_needed_again(stack: Stack) -> None:
    """The daemon died between draining and terminating; then a replica needs the instance."""
    scaling = Scaling(stack.url)
    await scaling.group("gpu-workers", cluster=GPU_CLUSTER, max_size=2, size=1)

    def declare(document: dict[str, Any]) -> None:
        document["capacity"] = {"autoScalingGroups": [{"name": "gpu-workers", "max": 2}]}
        decode(document)["replicas"] = 4

    async def joined() -> bool:
        return len(await instances(stack)) == 5

    await until("the group's instance joins", joined, 20)
    ids = {i["InstanceId"] for i in (await scaling.describe("gpu-workers"))["Instances"]}
    (own,) = (i for i in await instances(stack) if i["ec2InstanceId"] in ids)
    arn = own["containerInstanceArn"]
    await stack.aws("TagResource", resourceArn=arn, tags=[{"key": TAG_GRAPH, "value": "local"}])
    await stack.aws(
        *("UpdateContainerInstancesState",),
        cluster=GPU_CLUSTER,
        containerInstances=[arn],
        status="DRAINING",
    )
    stack.edit(declare)
    await stack.converge(90)
    assert arn in {t.container_instance_arn for t in stack.tasks("decode")} | {
        t.container_instance_arn for t in stack.tasks("prefill")
    }
    group = await scaling.describe("gpu-workers")
    assert group["DesiredCapacity"] == 1


async def test_replicas_are_split_over_capacity_providers_by_weight(stack: Stack) -> None:
    scaling = Scaling(stack.url)
    arns = {
        name: await scaling.group(name, cluster=GPU_CLUSTER, max_size=4)
        for name in ("on-demand", "spot")
    }
    for name, arn in arns.items():
        await stack.aws(
            *("CreateCapacityProvider",),
            name=name,
            autoScalingGroupProvider={
                "autoScalingGroupArn": arn,
                "managedScaling": {"status": "ENABLED"},
            },
        )
    await stack.aws(
        *("PutClusterCapacityProviders",),
        cluster=GPU_CLUSTER,
        capacityProviders=list(arns),
        defaultCapacityProviderStrategy=[],
    )

    def split(document: dict[str, Any]) -> None:
        decode(document).pop("launchType", None)
        decode(document)["replicas"] = 4
        decode(document)["capacityProviders"] = [
            {"name": "on-demand", "base": 1, "weight": 1},
            {"name": "spot", "weight": 2},
        ]

    # A service with a launch type moves to the providers by a deployment.
    await stack.converge()
    stack.edit(split)
    code, out, _ = await stack.cli("plan", "-f", str(stack.graph_file))
    assert (code, "capacity providers differ" in out) == (0, True)
    await stack.converge(120)
    tasks_by_provider = Counter(t.capacity_provider for t in stack.tasks("decode"))
    assert tasks_by_provider == {"on-demand": 2, "spot": 2}
    where = {
        i["containerInstanceArn"]: i.get("capacityProviderName") for i in await instances(stack)
    }
    assert all(
        where[t.container_instance_arn] == t.capacity_provider for t in stack.tasks("decode")
    )
    names = [stack.service("decode").name]
    answer = await stack.aws("DescribeServices", cluster=GPU_CLUSTER, services=names)
    (service,) = answer["services"]
    assert [s["type"] for s in service["placementStrategy"]] == ["spread", "binpack"]
    await stack.chat()
    code, out, _ = await stack.cli("status", "-f", str(stack.graph_file), "--json")
    assert code == 0
    shortages = [c["shortage"] for c in json.loads(out)["components"]]
    assert shortages == [None] * len(shortages)
    again = await stack.converge()
    assert not again.plan.actions
