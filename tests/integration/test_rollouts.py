"""Rollouts on real processes: missing registrations, canaries, pending work, old revisions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ecs_dynamo.controller import Pass
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import TAG_CANARY
from tests.integration.stack import (
    Stack,
    component_of,
    running_tasks,
    until,
    worker_apart_from_the_frontend,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

MUTE = "mkdir -p h && touch h/health && cd h && exec python3 -m http.server --bind localhost "
"""A process that is healthy and not a worker: it answers only the health check."""


def quick_health(document: dict[str, Any]) -> None:
    document["containerDefinitions"][0]["healthCheck"] |= {"interval": 5}


def decode_of(document: dict[str, Any]) -> dict[str, Any]:
    return component_of(document, "decode")


def degraded(done: Pass) -> str | None:
    return next(
        (
            c.reason
            for c in done.plan.conditions
            if c.type is ConditionType.DEGRADED and c.component == "decode" and c.status
        ),
        None,
    )


async def test_a_worker_that_never_registers_is_rolled_back_and_none_notices(stack: Stack) -> None:
    stack.edit_task_definition("decode", quick_health)
    await stack.converge()
    (old,) = running_tasks(stack, "decode")

    def mute(document: dict[str, Any]) -> None:
        decode_of(document)["command"] = [f"{MUTE}$DYN_SYSTEM_PORT"]
        decode_of(document)["rollout"] = {"progressDeadlineSeconds": 10}

    stack.edit(mute)
    ran_beside: list[bool] = []

    def record(_: Pass) -> None:
        new = [t for t in running_tasks(stack, "decode") if t.service != old.service]
        ran_beside.append(old.alive and any(t.started_at for t in new))

    async with stack.traffic() as traffic, stack.reconciler() as reconciler:
        async with traffic.background("load", 2, words=20, tokens=4, pause=0.1):
            done = await reconciler.until_converged(90, record)
        failed = [r.error for r in traffic.done if r.error]
    assert not failed
    assert len(traffic.done) > 20
    assert any(ran_beside), "the new task never ran beside the old one"
    assert "never registered with Dynamo" in done.plan.failures["decode"]
    assert degraded(done) == "NeverRegistered"
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file), "--timeout", "30")
    assert (code, "never registered with Dynamo" in err) == (1, True)
    assert {t.definition.revision for t in running_tasks(stack, "decode")} == {1}
    await stack.observe()
    await stack.chat()


async def test_a_good_canary_is_promoted_and_a_bad_one_is_rolled_back(stack: Stack) -> None:
    stack.edit_task_definition("decode", quick_health)

    def with_canary(document: dict[str, Any]) -> None:
        decode_of(document)["replicas"] = 2
        decode_of(document)["rollout"] = {
            "canary": {"bakeSeconds": 4},
            "progressDeadlineSeconds": 10,
        }

    stack.edit(with_canary)
    await stack.converge()
    counts: list[tuple[int, int, bool]] = []

    def record(_: Pass) -> None:
        assert stack.local is not None
        tags = stack.services("decode")[0].tags
        canary = next((t["value"] for t in tags if t["key"] == TAG_CANARY), "")
        tasks = running_tasks(stack, "decode")
        new = max(t.definition.revision for t in tasks)
        counts.append(
            (
                sum(t.definition.revision == new for t in tasks),
                sum(t.definition.revision < new for t in tasks),
                "promoted" in canary and canary.startswith(str(new)),
            )
        )

    stack.change_in_place("decode", "2")
    async with (
        stack.traffic() as traffic,
        stack.reconciler() as reconciler,
        traffic.background("load", 2, words=20, tokens=4, pause=0.1),
    ):
        done = await reconciler.until_converged(90, record)
    assert done.converged, done.plan.waits
    assert not [r.error for r in traffic.done if r.error]
    rolling = [c for c in counts if c[1]]
    assert (1, 2, False) in rolling
    assert all(new <= 1 and old == 2 for new, old, promoted in rolling if not promoted)
    assert {t.definition.revision for t in running_tasks(stack, "decode")} == {2}

    def worse(document: dict[str, Any]) -> None:
        decode_of(document)["command"] = [f"{MUTE}$DYN_SYSTEM_PORT"]

    stack.edit(worse)
    counts.clear()
    async with (
        stack.traffic() as traffic,
        stack.reconciler() as reconciler,
        traffic.background("load", 2, words=20, tokens=4, pause=0.1),
    ):
        done = await reconciler.until_converged(90, record)
    assert not [r.error for r in traffic.done if r.error]
    assert all(new <= 1 for new, old, _ in counts if old == 2)
    assert degraded(done) == "NeverRegistered"
    assert {t.definition.revision for t in running_tasks(stack, "decode")} == {2}


async def test_old_revisions_are_kept_to_the_declared_number(stack: Stack) -> None:
    await stack.aws(
        "RegisterTaskDefinition",
        family="local-decode",
        networkMode="host",
        containerDefinitions=[{"name": "theirs", "image": "busybox", "memory": 64}],
    )

    stack.edit(lambda d: decode_of(d).update(rollout={"keepRevisions": 2}))
    for operation in ("DeregisterTaskDefinition", "DeleteTaskDefinitions"):
        await stack.fault(operation, "timeout-after-effect", count=1, seconds=0.2)
    for number in range(3):
        stack.change_in_place("decode", str(number))
        await stack.converge()
    listed = await stack.aws("ListTaskDefinitions", familyPrefix="local-decode")
    numbers = [int(arn.rpartition(":")[2]) for arn in listed["taskDefinitionArns"]]
    # The first does not belong to the graph; of the graph's three the newest two are kept.
    assert numbers == [1, 3, 4]
    for status in ("INACTIVE", "DELETE_IN_PROGRESS"):
        gone = await stack.aws("ListTaskDefinitions", familyPrefix="local-decode", status=status)
        assert gone["taskDefinitionArns"] == []
    async with stack.reconciler() as reconciler:
        first = await reconciler.run_pass()
        reads = reconciler.aws.reads
        second = await reconciler.run_pass()
        assert (first.converged, second.converged, reconciler.aws.writes) == (True, True, 0)
        # The second pass of a process needs no further calls. Young tasks may replace failed ones:
        # the stopped tasks of each cluster are listed and described.
        assert reconciler.aws.reads - reads <= 1 + 2 * 4 + 3 + 2 * 2


async def test_a_roll_lets_a_busy_worker_finish(stack: Stack) -> None:
    def patient(document: dict[str, Any]) -> None:
        document["runtime"]["drainSeconds"] = 30

    stack.edit(patient)
    stack.edit_task_definition("decode", quick_health)
    await stack.converge()
    (old,) = running_tasks(stack, "decode")

    async with stack.traffic() as traffic:
        # One long response, which the old worker is still sending when its successor is ready.
        long = asyncio.create_task(
            traffic.chat("Tell me a long story.", stream=True, tokens=1500, kind="long")
        )

        async def at_work() -> bool:
            busy = (await stack.observe()).snapshot.busy
            return isinstance(busy, dict) and any(busy.values())

        await until("the worker has work", at_work, 20)
        stack.change_in_place("decode", "2")
        kept_while_busy: list[bool] = []

        def record(done: Pass) -> None:
            new = [t for t in running_tasks(stack, "decode") if t.definition.revision == 2]
            ready = done.plan.replicas["decode"].ready == 2
            if new and ready and not long.done():
                kept_while_busy.append(old.alive)

        async with stack.reconciler() as reconciler:
            done = await reconciler.until_converged(120, record)
        request, _ = await long
    assert done.converged, done.plan.waits
    assert request.error is None
    assert kept_while_busy
    assert all(kept_while_busy)
    assert {t.definition.revision for t in running_tasks(stack, "decode")} == {2}


async def test_an_instance_that_drains_under_load_fails_no_request(stack: Stack) -> None:
    def on_its_own_port(document: dict[str, Any]) -> None:
        """Keep the health check, which in host mode would not know the worker's port."""
        quick_health(document)
        document["networkMode"] = "awsvpc"

    for name in ("decode", "prefill"):
        stack.edit_task_definition(name, on_its_own_port)
    await stack.converge()
    name, old = worker_apart_from_the_frontend(stack)
    instance = old.instance
    beside: list[bool] = []

    def record(done: Pass) -> None:
        if not old.alive:
            # It was released for a replica that serves, not for one that merely runs.
            assert done.plan.replicas[name].ready >= 1

    async def watch() -> None:
        """Observe without the reconciler, which may be too late on a busy machine."""
        while old.alive:
            beside.append(any(t.instance is not instance for t in running_tasks(stack, name)))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    async with stack.traffic() as traffic, stack.reconciler() as reconciler:
        async with traffic.background("load", 6, words=40, tokens=60, pause=0.05):
            await stack.aws(
                "UpdateContainerInstancesState",
                cluster="dynamo-GPU",
                containerInstances=[instance.arn],
                status="DRAINING",
            )
            done = await reconciler.until_converged(90, record)
        failed = [r.error for r in traffic.done if r.error]
    assert done.converged, done.plan.waits
    assert not failed
    await asyncio.wait_for(watching, 10)
    assert any(beside)
    assert [t.instance is instance for t in running_tasks(stack, name)] == [False]
    assert stack.local is not None
    limits = stack.service(name).request
    assert limits["deploymentConfiguration"]["minimumHealthyPercent"] == 100
    assert limits["deploymentConfiguration"]["maximumPercent"] == 200
    await stack.observe()
    await stack.chat()
