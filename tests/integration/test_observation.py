"""Answers of AWS that are stale, empty, cut off or contradictory, under requests of clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_dynamo.controller.rollback import roll_back
from ecs_dynamo.model.snapshot import Unknown
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def static(stack: Stack) -> None:
    stack.edit(lambda d: d["components"][2].pop("scaling"))


def calls(stack: Stack, operation: str) -> int:
    return sum(c.operation == operation for c in stack.local.calls)


@pytest.mark.parametrize("kind", ["missing", "bare", "truncated", "empty"])
async def test_services_and_clusters_that_are_not_told_of_are_not_created(
    stack: Stack, kind: str
) -> None:
    if kind == "missing":
        static(stack)
        await stack.converge()
    async with stack.reconciler() as reconciler:
        first = await reconciler.run_pass()
        before = calls(stack, "CreateService")
        for operation in ("DescribeServices", "DescribeClusters"):
            await stack.fault(operation, kind, count=40)
            done = await asyncio.wait_for(reconciler.run_pass(), 30)
            stack.local.forget_faults()
            assert not done.converged
            assert done.unknown
            assert all(isinstance(s.service, Unknown) for s in done.snapshot.components.values())
            told = " ".join(w.reason for w in done.plan.waits)
            assert "does not exist; create it" not in told
        assert calls(stack, "CreateService") == before
        assert first.plan.graph == done.plan.graph


async def test_a_list_that_is_empty_at_the_start_of_a_rollout_loses_no_request(
    stack: Stack,
) -> None:
    static(stack)
    await stack.converge()
    stack.edit(lambda d: d["components"][1].update({"env": {"DYN_LOG": "warn"}}))
    # The process that saw the tasks goes on, as a daemon does.
    async with stack.traffic() as traffic, stack.reconciler() as reconciler:
        await reconciler.run_pass(act=False)
        async with traffic.background("load", 2, words=20, tokens=4, pause=0.1):
            await stack.fault("ListTasks", "empty", lasts=4.0)
            stack.last = await reconciler.until_converged(90)
    assert stack.last.converged, stack.last.plan.waits
    assert len(traffic.done) > 20
    assert [r.error for r in traffic.done if r.error] == []


async def test_a_fresh_process_begins_no_rollout_on_an_empty_list(stack: Stack) -> None:
    static(stack)
    await stack.converge()
    stack.edit(lambda d: d["components"][1].update({"env": {"DYN_LOG": "warn"}}))
    await stack.fault("ListTasks", "empty", lasts=60.0)
    before = calls(stack, "UpdateService")
    async with stack.reconciler() as reconciler:
        done = await reconciler.run_pass()
    assert calls(stack, "UpdateService") == before
    assert any("and ECS lists 0" in why for why in done.unknown)
    stack.local.forget_faults()
    await stack.converge(90)


async def test_hosts_that_ec2_does_not_know_hide_no_other(stack: Stack) -> None:
    static(stack)
    await stack.converge()
    cluster = stack.graph.component("decode").cluster
    for ec2_id in (None, "mi-0123456789abcdef0"):
        stack.local.lose_host(await stack.local.add_instance(cluster), ec2_id)
    done = await stack.look()
    assert done.converged, done.plan.waits
    assert not isinstance(done.snapshot.container_instances[cluster], Unknown)
    assert {t.private_ip is None for t in stack.tasks("decode")} == {False}
    # Asked by id, as before, EC2 refuses the whole request.
    async with stack.client("ec2") as ec2:
        for ids, code in (("mi-0123456789abcdef0", "Malformed"), ("i-0123456789abcdef0", "NotF")):
            with pytest.raises(ClientError, match=f"InvalidInstanceID.{code}"):
                await ec2.describe_instances(InstanceIds=[ids])


async def test_a_revision_that_somebody_deleted_is_registered_again_and_rolled_back_to(
    stack: Stack,
) -> None:
    static(stack)
    await stack.converge()

    async def revisions(family: str, status: str) -> list[str]:
        found = await stack.aws("ListTaskDefinitions", familyPrefix=family, status=status)
        return [str(arn) for arn in found["taskDefinitionArns"]]

    async def remove(arn: str) -> None:
        await stack.aws("DeregisterTaskDefinition", taskDefinition=arn)
        await stack.aws("DeleteTaskDefinitions", taskDefinitions=[arn])

    (first,) = await revisions("local-decode", "ACTIVE")
    stack.edit(lambda d: d["components"][1].update({"env": {"DYN_LOG": "warn"}}))
    await stack.converge(90)
    await remove(first)
    (second,) = await revisions("local-decode", "ACTIVE")
    await remove(second)
    await stack.converge()
    (again,) = await revisions("local-decode", "ACTIVE")
    assert again not in (first, second)
    assert (await stack.converge()).results == ()
    async with stack.reconciler() as reconciler:
        done = await roll_back(reconciler, "decode")
    assert done.error is None
    await stack.converge(90)
    await stack.chat()


async def test_what_is_unknown_is_found_again(stack: Stack) -> None:
    """A daemon that saw nothing for a while ends where it began, without a write."""
    static(stack)
    await stack.converge()
    async with stack.reconciler() as reconciler:
        assert (await reconciler.run_pass()).converged
        for operation, kind in (
            ("ListTasks", "partial"),
            ("DescribeTasks", "missing"),
            ("ListServices", "empty"),
            ("ListContainerInstances", "empty"),
            ("DescribeContainerInstances", "truncated"),
        ):
            writes = reconciler.aws.writes
            await stack.fault(operation, kind, count=12)
            await reconciler.run_pass()
            stack.local.forget_faults()
            assert reconciler.aws.writes == writes, (operation, kind)

            async def converged(made: Any = reconciler) -> bool:
                return bool((await made.run_pass()).converged)

            await until(f"{operation} {kind}", converged, 20.0)
            assert reconciler.aws.writes == writes, (operation, kind)
