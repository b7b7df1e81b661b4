"""Responses of AWS that are stale, empty, truncated or contradictory, under load."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from ecs_dynamo.controller import Reconciler
from ecs_dynamo.controller.reconcile.rollback import roll_back
from ecs_dynamo.model.snapshot import Unknown
from tests.integration.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def stack(stack: Stack) -> Stack:
    """A graph without scaling, and observations with a short time limit."""
    stack.edit(lambda d: d["components"][2].pop("scaling"))
    stack.environ["ECS_DYNAMO_OBSERVE_TIMEOUT_SECONDS"] = "2"
    return stack


def calls(stack: Stack, operation: str) -> int:
    return sum(c.operation == operation for c in stack.local.calls)


def warn(stack: Stack) -> None:
    """Change decode within its generation."""
    stack.change_in_place("decode", "2")


async def hide_services(stack: Stack, reconciler: Reconciler, operation: str, kind: str) -> None:
    """With this fault of ``operation``, nothing is created and nothing is reported missing."""
    before = calls(stack, "CreateService")
    await stack.fault(operation, kind, lasts=60.0)
    done = await reconciler.run_pass()
    stack.local.clear_faults()
    assert not done.converged
    assert all(isinstance(s.service, Unknown) for s in done.snapshot.components.values())
    assert "does not exist; create it" not in " ".join(w.reason for w in done.plan.waits)
    assert calls(stack, "CreateService") == before


@pytest.mark.parametrize("kind", ["truncated", "empty"])
async def test_an_answer_that_tells_nothing_creates_nothing(stack: Stack, kind: str) -> None:
    async with stack.reconciler() as reconciler:
        for operation in ("DescribeClusters", "DescribeServices"):
            await hide_services(stack, reconciler, operation, kind)


async def test_what_contradicts_what_was_observed_is_unknown_and_changes_nothing(
    stack: Stack,
) -> None:
    """A daemon that observes less than exists makes no write, and ends where it began."""
    await stack.converge()
    async with stack.reconciler() as reconciler:
        assert (await reconciler.run_pass()).converged
        writes = reconciler.aws.writes
        for operation in ("DescribeServices", "DescribeClusters"):
            await hide_services(stack, reconciler, operation, "missing")
        for operation, kind in (
            ("ListTasks", "partial"),
            ("ListTasks", "empty"),
            ("DescribeTasks", "missing"),
            ("ListServices", "empty"),
            ("ListContainerInstances", "empty"),
            ("DescribeContainerInstances", "bare"),
        ):
            await stack.fault(operation, kind, lasts=60.0)
            await reconciler.run_pass()
            stack.local.clear_faults()
            assert (await reconciler.run_pass()).converged, (operation, kind)
        assert reconciler.aws.writes == writes

    # A daemon without earlier observations begins no rollout.
    warn(stack)
    before = calls(stack, "UpdateService")
    await stack.fault("ListTasks", "empty", lasts=60.0)
    async with stack.reconciler() as reconciler:
        done = await reconciler.run_pass()
    stack.local.clear_faults()
    assert calls(stack, "UpdateService") == before
    assert any("and ECS lists 0" in why for why in done.unknown)


async def test_hosts_that_ec2_does_not_know_hide_no_other(stack: Stack) -> None:
    cluster = stack.graph.component("decode").cluster
    for ec2_id in (None, "mi-0123456789abcdef0"):
        stack.local.lose_host(await stack.local.add_instance(cluster), ec2_id)
    done = await stack.observe()
    instances = done.snapshot.container_instances[cluster]
    assert not isinstance(instances, Unknown)
    lost = [i for i in instances if i.private_ip is None]
    assert len(lost) == 2 < len(instances)
    # EC2 refuses a whole request if it does not know one of the ids.
    async with stack.client("ec2") as ec2:
        for ids, code in (("mi-0123456789abcdef0", "Malformed"), ("i-0123456789abcdef0", "NotF")):
            with pytest.raises(ClientError, match=f"InvalidInstanceID.{code}"):
                await ec2.describe_instances(InstanceIds=[ids])


async def test_an_empty_list_loses_no_request_and_a_deleted_revision_no_rollout(
    stack: Stack,
) -> None:
    await stack.converge()
    warn(stack)
    # The process that observed the tasks continues, as a daemon does.
    async with stack.traffic() as traffic, stack.reconciler() as reconciler:
        await reconciler.run_pass(act=False)
        async with traffic.background("load", 2, words=20, tokens=4, pause=0.1):
            await stack.fault("ListTasks", "empty", lasts=4.0)
            stack.last = await reconciler.until_converged(90)
    assert stack.last.converged, stack.last.plan.waits
    assert len(traffic.done) > 20
    assert [r.error for r in traffic.done if r.error] == []

    async def active() -> list[str]:
        answer = await stack.aws(
            "ListTaskDefinitions", familyPrefix="local-decode", status="ACTIVE"
        )
        return [str(arn) for arn in answer["taskDefinitionArns"]]

    first, second = await active()
    for arn in (first, second):
        await stack.aws("DeregisterTaskDefinition", taskDefinition=arn)
    await stack.aws("DeleteTaskDefinitions", taskDefinitions=[second])
    await stack.converge()
    (again,) = await active()
    assert again not in (first, second)
    async with stack.reconciler() as reconciler:
        known = await reconciler.run_pass()
        assert known.converged, known.plan.actions
        done = await roll_back(reconciler, "decode")
        assert (done.error, done.after) == (None, "local-decode:1")
        stack.last = await reconciler.until_converged(60)
    assert stack.last.plan.stuck  # Nothing else is waited for.
    assert len(await active()) == 2
    await stack.chat()
