"""The AWS adapters against moto, for calls that need no running container."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from moto.server import ThreadedMotoServer

from ecs_dynamo.aws.client import Aws, AwsOptions, open_aws
from ecs_dynamo.aws.execute.executor import Executor
from ecs_dynamo.aws.observe.ecs import observe_ecs
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_GRAPH, Graph
from ecs_dynamo.model.plan import ChangeMembership, Memory, RegisterTaskDefinition
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning import plan
from tests.helpers.graphs import (
    graph,
    redeclared,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def aws(moto_url: str) -> AsyncIterator[Aws]:
    async with open_aws(AwsOptions(endpoint_url=moto_url, region="us-west-2")) as opened:
        for cluster in ("gpu", "fargate"):
            await opened.call("ecs", "CreateCluster", clusterName=cluster)
        yield opened
        for cluster in ("gpu", "fargate"):
            names = await opened.call("ecs", "ListServices", cluster=cluster)
            for arn in names["serviceArns"]:
                await opened.call("ecs", "DeleteService", cluster=cluster, service=arn, force=True)


@pytest.fixture
async def declared(moto_url: str) -> Graph:
    """The graph on a subnet and a security group that moto knows."""
    async with open_aws(AwsOptions(endpoint_url=moto_url, region="us-west-2")) as aws:
        subnets = await aws.call("ec2", "DescribeSubnets")
        groups = await aws.call("ec2", "DescribeSecurityGroups")
    network = NetworkSpec(
        subnets=(subnets["Subnets"][0]["SubnetId"],),
        security_groups=(groups["SecurityGroups"][0]["GroupId"],),
    )
    base = graph()
    return replace(base, components=tuple(redeclared(c, network=network) for c in base.components))


async def test_a_missing_cluster_is_absent_not_unknown(aws: Aws, declared: Graph) -> None:
    elsewhere = replace(
        declared, components=tuple(replace(c, cluster="nowhere") for c in declared.components)
    )
    observed = await observe_ecs(aws, elsewhere, time.time(), 10, GraphCache())
    assert observed.clusters == {"nowhere": False}
    result = plan(elsewhere, observed, Memory(started_at=0), Now.at(time.time()))
    assert result.actions == ()
    assert "nowhere does not exist" in result.waits[0].reason


async def no_etcd(_: ChangeMembership) -> bool:
    raise AssertionError("no cluster of etcd is declared here")


async def test_infrastructure_is_registered_created_and_then_recognized_as_ours(
    aws: Aws, declared: Graph
) -> None:
    cache = GraphCache()
    executor = Executor(aws, declared.name, cache, time.monotonic, no_etcd)
    observed = await observe_ecs(aws, declared, time.time(), 10, cache)
    result = plan(declared, observed, Memory(started_at=0), Now.at(time.time()))
    assert {a.component for a in result.actions} == {"etcd-nats"}
    results = await executor.execute(result)
    assert all(r.ok and r.changed for r in results), results

    observed = await observe_ecs(aws, declared, time.time(), 10, cache)
    service = observed.components["etcd-nats"].service
    assert isinstance(service, Service)
    assert service.owned_by(declared.name)
    again = plan(declared, observed, result.memory, Now.at(time.time()))
    assert again.actions == ()

    # The same plan again, as after a crash before its result was recorded: nothing is duplicated.
    repeated = await executor.execute(result)
    register = next(r for r in repeated if isinstance(r.action, RegisterTaskDefinition))
    assert register.ok
    assert not register.changed


async def test_a_foreign_service_is_reported_and_not_adopted(aws: Aws, declared: Graph) -> None:
    await aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family="other",
        containerDefinitions=[{"name": "x", "image": "x", "memory": 64}],
    )
    await aws.call(
        "ecs",
        "CreateService",
        cluster="fargate",
        serviceName="g-etcd-nats",
        taskDefinition="other",
        desiredCount=1,
    )
    observed = await observe_ecs(aws, declared, time.time(), 10, GraphCache())
    result = plan(declared, observed, Memory(started_at=0), Now.at(time.time()))
    assert result.actions == ()
    assert any(TAG_GRAPH in w.reason for w in result.waits)


async def test_an_unreachable_endpoint_is_one_clear_error_and_everything_is_unknown() -> None:
    options = AwsOptions(
        endpoint_url="http://127.0.0.1:9",
        region="us-west-2",
        attempts=2,
        backoff=Backoff(0.02, 5.0),
    )
    async with open_aws(options) as aws:
        with pytest.raises(AwsError, match=r"Unreachable.*127\.0\.0\.1:9"):
            await aws.call("ecs", "ListClusters")
        observed = await observe_ecs(aws, graph(), time.time(), 10, GraphCache())
    assert all(isinstance(c.service, Unknown) for c in observed.components.values())
    assert plan(graph(), observed, Memory(started_at=0), Now.at(0.0)).actions == ()
