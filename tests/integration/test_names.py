"""etcd and NATS behind names, on real processes: they are replaced and nothing is rolled."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.controller import Pass
from tests.integration.stack import Stack, until
from tests.integration.test_infrastructure import VOLUME, apart

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

DEPENDANTS = ("frontend", "decode", "prefill")


async def cloud_map(stack: Stack, *names: str) -> dict[str, dict[str, str]]:
    """Create Cloud Map services of ``names`` in dynamo.local; return them for a graph file."""
    async with stack.client("servicediscovery") as client:
        await client.create_private_dns_namespace(Name="dynamo.local", Vpc="vpc-1")
        (namespace,) = (await client.list_namespaces())["Namespaces"]
        result = {}
        for name in names:
            created = await client.create_service(
                Name=name,
                NamespaceId=namespace["Id"],
                DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 10}]},
                HealthCheckCustomConfig={"FailureThreshold": 1},
            )
            arn = created["Service"]["Arn"]
            result[name] = {"registryArn": arn, "dnsName": f"{name}.dynamo.local"}
        return result


async def registered(stack: Stack, arn: str) -> list[str]:
    """Return the addresses of a Cloud Map service."""
    async with stack.client("servicediscovery") as client:
        answer = await client.list_instances(ServiceId=arn.rsplit("/", 1)[-1])
        return [i["Attributes"]["AWS_INSTANCE_IPV4"] for i in answer["Instances"]]


def named(stack: Stack, names: dict[str, Any]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["infrastructure"]["serviceDiscovery"] = names
        for component in document["components"]:
            component.pop("scaling", None)

    stack.edit(edit)


def revisions(done: Pass) -> dict[str, str]:
    """Return the dependants' task definition revisions."""
    arns = {}
    for name in DEPENDANTS:
        service = done.snapshot.components[name].service
        arns[name] = service.task_definition_arn  # type: ignore[union-attr]
    return arns


def task_arns(stack: Stack) -> set[str]:
    return {task.arn for name in DEPENDANTS for task in stack.tasks(name)}


async def replaced(stack: Stack, *components: str) -> Pass:
    """Stop the tasks of ``components`` and reconcile; they return at other addresses."""
    before = {t.private_ip for name in components for t in stack.tasks(name)}
    for name in components:
        await stack.stop_tasks(name)
    done = await stack.converge(120)
    after = {t.private_ip for name in components for t in stack.tasks(name)}
    assert not before & after
    return done


async def test_cloud_map_names_outlive_etcd_and_nats(stack: Stack) -> None:
    """If its data is kept, a replaced etcd is not even noticed."""
    apart(stack, serving=True, etcd={"volume": VOLUME}, nats={"volume": VOLUME})
    stack.edit_task_definition(
        "etcd", lambda d: d["containerDefinitions"][0]["command"].append("--data-dir=/etcd-data")
    )
    # A process whose lease ends exits. After a second loss of etcd within seconds the frontend's
    # many watches share one reconnection that backs off, and its lease waited 8 s (Dynamo 1.6.1).
    stack.edit(lambda d: d["runtime"].update(leaseSeconds=20))
    names = await cloud_map(stack, "etcd", "nats")
    named(stack, {"cloudMap": names})
    first = await stack.converge(120)
    assert first.plan.endpoints.etcd == "http://etcd.dynamo.local:2379"
    assert first.plan.endpoints.nats == "nats://nats.dynamo.local:4222"
    await stack.chat()
    (etcd,) = stack.tasks("etcd")
    assert await registered(stack, names["etcd"]["registryArn"]) == [etcd.private_ip]
    tasks = task_arns(stack)

    second = await replaced(stack, "etcd", "nats")
    await stack.chat()
    assert revisions(second) == revisions(first)
    assert task_arns(stack) == tasks
    (etcd,) = stack.tasks("etcd")
    assert await registered(stack, names["etcd"]["registryArn"]) == [etcd.private_ip]

    # A changed etcd rolls alone, too.
    stack.edit_task_definition(
        "etcd", lambda d: d["containerDefinitions"][0].update(image="quay.io/coreos/etcd:v3.5.22")
    )
    third = await stack.converge(120)
    assert stack.tasks("etcd")[0].arn != etcd.arn
    await stack.chat()
    assert revisions(third) == revisions(first)
    assert task_arns(stack) == tasks
    assert not (await stack.observe()).plan.actions


async def test_service_connect_names_outlive_etcd_and_nats(stack: Stack) -> None:
    """Without its data Dynamo's processes exit, and ECS restarts them without a new revision."""
    for name in DEPENDANTS:
        stack.edit_task_definition(name, lambda d: d.update(networkMode="awsvpc"))
    await cloud_map(stack)
    named(stack, {})
    stack.edit(lambda d: d["infrastructure"].pop("serviceDiscovery"))
    await stack.converge(120)
    await stack.chat()
    # Components with an address get the name in one rollout.
    named(stack, {"serviceConnect": {"namespace": "dynamo.local", "nats": "nats.queue"}})
    first = await stack.converge(120)
    assert first.plan.endpoints.etcd == "http://etcd:2379"
    assert first.plan.endpoints.nats == "nats://nats.queue:4222"
    await stack.chat()
    tasks = task_arns(stack)

    stack.edit_task_definition("etcd-nats", lambda d: d.update(memory="3072"))
    await stack.converge(120)

    async def all_anew() -> bool:
        await stack.observe()
        return not task_arns(stack) & tasks

    await until("ECS starts Dynamo's processes again", all_anew)
    second = await stack.converge(120)
    await stack.chat()
    assert revisions(second) == revisions(first)
    assert not (await stack.observe()).plan.actions
