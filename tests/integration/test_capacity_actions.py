"""AWS adapters of capacity: reading groups and providers; repeated actions are harmless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.aws.execute.capacity import (
    set_desired_capacity,
    set_instances_state,
    terminate_instance,
)
from ecs_dynamo.aws.observe.capacity import (
    InstanceSizes,
    count_daemons,
    describe_auto_scaling_groups,
    describe_providers,
    list_daemon_groups,
    to_provider,
)
from ecs_dynamo.aws.observe.ecs import observe_ecs
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_GRAPH, Graph
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.plan import SetDesiredCapacity, SetInstancesState, TerminateInstance
from ecs_dynamo.model.snapshot import ContainerInstance, Unknown
from ecs_dynamo.model.spec.capacity import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
)
from ecs_dynamo.planning.capacity.plan import plan_capacity
from tests.helpers.ecs_client import container
from tests.helpers.graphs import (
    graph,
    redeclared,
)
from tests.helpers.scaling_groups import Scaling
from tests.integration.stack import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


def declared(*groups: str) -> Graph:
    specs = tuple(AutoScalingGroupSpec(name=g, cluster="gpu", max=4) for g in groups)
    return replace(graph(), capacity=CapacitySpec(auto_scaling_groups=specs))


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEcs]:
    table = tmp_path / "images.yaml"
    table.write_text('images:\n  - match: "busybox"\n')
    async with LocalEcs(images=ImageTable.load(table), directory=tmp_path / "ecs") as result:
        result.create_cluster("gpu")
        yield result


@pytest.fixture
async def aws(local: LocalEcs) -> AsyncIterator[Aws]:
    options = AwsOptions(endpoint_url=local.endpoint_url, region="us-east-1")
    async with open_aws(options, ("ecs", "ec2", "autoscaling")) as opened:
        yield opened


async def instances(aws: Aws) -> list[dict[str, Any]]:
    arns = (await aws.call("ecs", "ListContainerInstances", cluster="gpu"))["containerInstanceArns"]
    if not arns:
        return []
    answer = await aws.call(
        *("ecs", "DescribeContainerInstances"),
        cluster="gpu",
        containerInstances=arns,
        include=["TAGS"],
    )
    return list(answer["containerInstances"])


async def test_a_group_at_zero_tells_what_its_instances_will_offer(
    local: LocalEcs, aws: Aws
) -> None:
    scaling = Scaling(local.endpoint_url)
    await scaling.group("empty", instance_type="g5.12xlarge", cluster="gpu")
    await scaling.call("autoscaling", "put_warm_pool", AutoScalingGroupName="empty", MinSize=1)
    sizes = InstanceSizes()
    groups = await describe_auto_scaling_groups(aws, declared("empty", "missing"), sizes)
    assert set(groups) == {"empty"}
    group = groups["empty"]
    assert (group.desired, group.min_size, group.max_size, group.warm) == (0, 0, 4, 0)
    (size,) = group.sizes
    assert (size.instance_type, size.gpus, size.cpu) == ("g5.12xlarge", 4, 49_152)
    assert 0.9 * 196_608 < size.memory < 196_608
    # Sizes of instance types never change, so they are requested once.
    before = aws.calls["ec2:DescribeInstanceTypes"]
    await describe_auto_scaling_groups(aws, declared("empty"), sizes)
    assert aws.calls["ec2:DescribeInstanceTypes"] == before


async def test_instances_of_a_warm_pool_are_counted_and_are_no_members() -> None:
    class Answers:
        """Responses of AWS as in its API reference; moto has no warm pools."""

        async def call(self, service: str, operation: str, **_: Any) -> dict[str, Any]:
            states = ("Warmed:Stopped", "Warmed:Running", "Warmed:Terminating", "Warmed:Pending")
            answers: dict[str, dict[str, Any]] = {
                "DescribeAutoScalingGroups": {
                    "AutoScalingGroups": [
                        {
                            "AutoScalingGroupName": "g",
                            "DesiredCapacity": 1,
                            "MinSize": 0,
                            "MaxSize": 3,
                            "WarmPoolConfiguration": {"MinSize": 2},
                            "MixedInstancesPolicy": {
                                "LaunchTemplate": {"Overrides": [{"InstanceType": "g5.xlarge"}]}
                            },
                            "Instances": [
                                {"InstanceId": "i-1", "LifecycleState": "InService"},
                                {"InstanceId": "i-2", "LifecycleState": "Warmed:Stopped"},
                            ],
                        }
                    ]
                },
                "DescribeWarmPool": {"Instances": [{"LifecycleState": s} for s in states]},
                "DescribeInstanceTypes": {
                    "InstanceTypes": [
                        {
                            "InstanceType": "g5.xlarge",
                            "VCpuInfo": {"DefaultVCpus": 4},
                            "MemoryInfo": {"SizeInMiB": 16384},
                            "GpuInfo": {"Gpus": [{"Count": 1}]},
                        }
                    ]
                },
            }
            return answers[operation]

    groups = await describe_auto_scaling_groups(
        cast(Aws, Answers()), declared("g"), InstanceSizes()
    )
    assert [i.ec2_instance_id for i in groups["g"].instances] == ["i-1"]
    assert groups["g"].warm == 3
    assert [s.gpus for s in groups["g"].sizes] == [1]


async def test_providers_of_every_kind_are_recognised(local: LocalEcs, aws: Aws) -> None:
    arn = await Scaling(local.endpoint_url).group("spot-group", cluster="gpu")
    await aws.call(
        *("ecs", "CreateCapacityProvider"),
        name="spot",
        autoScalingGroupProvider={
            "autoScalingGroupArn": arn,
            "managedScaling": {"status": "ENABLED"},
        },
    )
    role = "arn:aws:iam::123456789012:role/ecs"
    network = {"subnets": ["subnet-1"]}
    await aws.call(
        *("ecs", "CreateCapacityProvider"),
        name="managed",
        cluster="gpu",
        managedInstancesProvider={
            "infrastructureRoleArn": role,
            "instanceLaunchTemplate": {
                "ec2InstanceProfileArn": role,
                "networkConfiguration": network,
            },
        },
    )
    await aws.call(
        *("ecs", "PutClusterCapacityProviders"),
        cluster="gpu",
        capacityProviders=["spot", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[],
    )
    names = [f"unknown-{n}" for n in range(12)] + ["spot", "managed", "FARGATE_SPOT"]
    base = graph()
    items = tuple(CapacityProviderItem(name=n) for n in names)
    named = replace(
        base,
        components=tuple(
            redeclared(c, cluster="gpu", capacity_providers=items) for c in base.components[1:]
        ),
    )
    providers = await describe_providers(aws, named, ["gpu"], {})  # Fifteen names: two pages.
    assert {n: (p.type, p.scales_itself, p.group) for n, p in providers.items()} == {
        "spot": ("EC2_AUTOSCALING", True, "spot-group"),
        "managed": ("MANAGED_INSTANCES", True, None),
        "FARGATE_SPOT": ("FARGATE_SPOT", False, None),
    }
    old = to_provider({"name": "x", "managedInstancesProvider": {"infrastructureRoleArn": role}})
    assert old.type == "MANAGED_INSTANCES"


async def test_a_provider_that_no_component_names_keeps_hands_off_its_group(
    local: LocalEcs, aws: Aws
) -> None:
    arn = await Scaling(local.endpoint_url).group("pool", cluster="gpu")
    provider = {"autoScalingGroupArn": arn, "managedScaling": {"status": "ENABLED"}}
    await aws.call(
        *("ecs", "CreateCapacityProvider"), name="theirs", autoScalingGroupProvider=provider
    )
    await aws.call(
        *("ecs", "PutClusterCapacityProviders"),
        cluster="gpu",
        capacityProviders=["theirs", "FARGATE"],
        defaultCapacityProviderStrategy=[],
    )
    spec = AutoScalingGroupSpec(name="pool", cluster="gpu", min=1, max=2)
    base = replace(graph(), capacity=CapacitySpec(auto_scaling_groups=(spec,)))
    assert not any(c.capacity_providers for c in base.components)
    cache = GraphCache()
    observed = await observe_ecs(aws, base, 0.0, 10.0, cache)
    assert not isinstance(observed.providers, Unknown)
    (pool,) = observed.providers.values()
    assert (pool.name, pool.group, pool.managed_scaling) == ("theirs", "pool", True)
    planned = plan_capacity(base, observed, (), CapacityMemory(), 0.0)
    assert planned.actions == ()
    assert "is sized by ECS" in planned.notes[0]
    # An observation without a provider that existed before is doubted at first.
    local.state.clusters["gpu"].capacity_providers.remove("theirs")
    observed = await observe_ecs(aws, base, 0.0, 10.0, cache)
    assert isinstance(observed.providers, Unknown)
    assert "theirs" in observed.providers.reason
    assert plan_capacity(base, observed, (), CapacityMemory(), 0.0).actions == ()


async def test_an_answer_without_the_clusters_providers_tells_nothing(aws: Aws) -> None:
    with pytest.raises(AwsError, match="capacityProviders of cluster gpu"):
        await describe_providers(aws, declared("pool"), ["gpu"], {"gpu": None})


async def test_acting_twice_changes_nothing_more_and_tasks_are_safe(
    local: LocalEcs, aws: Aws
) -> None:
    scaling = Scaling(local.endpoint_url)
    await scaling.group("pool", cluster="gpu", size=1)
    up = SetDesiredCapacity(component="pool", reason="", group="pool", desired=2)
    assert [await set_desired_capacity(aws, up) for _ in range(2)] == [True, False]
    lower = replace(up, desired=1)
    assert not await set_desired_capacity(aws, lower)
    with pytest.raises(AwsError, match="no Auto Scaling group"):
        await set_desired_capacity(aws, replace(up, group="other"))

    async def joined() -> bool:
        return len(await instances(aws)) == 2

    await until("two instances join", joined, 20)
    first, second = await instances(aws)

    def end(instance: dict[str, Any], floor: int = 0) -> TerminateInstance:
        return TerminateInstance(
            component="pool",
            reason="",
            group="pool",
            cluster="gpu",
            instance=instance["containerInstanceArn"],
            ec2_instance_id=instance["ec2InstanceId"],
            floor=floor,
        )

    assert not await terminate_instance(aws, end(first))  # It is not drained.
    await _register(aws)
    started = await aws.call("ecs", "RunTask", cluster="gpu", taskDefinition="app")
    busy_arn = started["tasks"][0]["containerInstanceArn"]
    busy, idle = sorted((first, second), key=lambda i: i["containerInstanceArn"] != busy_arn)
    arns = tuple(i["containerInstanceArn"] for i in (busy, idle))
    drain = SetInstancesState(
        component="pool", reason="", cluster="gpu", instances=arns, status="DRAINING"
    )
    for _ in range(2):
        await set_instances_state(aws, drain, "mine")
    for raw in await instances(aws):
        assert raw["status"] == "DRAINING"
        assert raw["tags"] == [{"key": TAG_GRAPH, "value": "mine"}]
    assert not await terminate_instance(aws, end(busy))  # A task runs there.
    assert not await terminate_instance(aws, end(idle, floor=2))
    results = [await terminate_instance(aws, end(idle)) for _ in range(2)]
    assert results == [True, False]
    assert (await scaling.describe("pool"))["DesiredCapacity"] == 1
    left = [i["InstanceId"] for i in (await scaling.describe("pool"))["Instances"]]
    assert left == [busy["ec2InstanceId"]]


async def test_daemons_keep_no_instance(local: LocalEcs, aws: Aws) -> None:
    await local.add_instance("gpu")
    await _register(aws)
    for name, kind in (("logs", "DAEMON"), ("app", "REPLICA")):
        await aws.call(
            *("ecs", "CreateService"),
            cluster="gpu",
            serviceName=name,
            taskDefinition="app",
            schedulingStrategy=kind,
            desiredCount=1,
        )
    groups = await list_daemon_groups(aws, "gpu")
    assert groups == {"service:logs"}
    base = ContainerInstance("arn:1", "i-1", "ACTIVE", True, None, tasks=2)
    running = [
        {"containerInstanceArn": "arn:1", "group": f"service:{name}"} for name in ("logs", "app")
    ]
    counted = count_daemons((base,), running, groups)
    assert not isinstance(counted, Unknown)
    assert counted[0].daemons == 1
    assert count_daemons((base,), running, Unknown("throttled")) == (base,)
    assert isinstance(count_daemons(Unknown("x"), running, groups), Unknown)


async def _register(aws: Aws) -> None:
    await aws.call(
        *("ecs", "RegisterTaskDefinition"), family="app", containerDefinitions=[container()]
    )
