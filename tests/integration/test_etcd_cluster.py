"""An etcd cluster of three on the local ECS, with real etcd and real Dynamo."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.model.ecs.task_definition import environment_value
from tests.integration.stack import Stack
from tests.integration.test_infrastructure import apart

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PLACES = ("etcd-0", "etcd-1", "etcd-2")
SECONDS = 90.0


def clustered(stack: Stack, *, serving: bool) -> None:
    """The example with an etcd cluster of three."""
    apart(stack, serving=serving, etcd={"replicas": 3})

    def plain(document: dict[str, Any]) -> None:
        (container,) = document["containerDefinitions"]
        container["command"] = [w for w in container["command"] if not w.startswith("--name")]

    stack.edit_task_definition("etcd", plain)


def members(observed: Pass) -> set[int]:
    """Return the ids of the voting members; all servers must report the same ones."""
    views = observed.snapshot.etcd_views.values()
    memberships = {frozenset(m.id for m in view.members if not m.learner) for view in views}
    assert len(memberships) == 1, memberships
    return set(next(iter(memberships)))


def endpoints_of(observed: Pass, component: str) -> str | None:
    service = observed.snapshot.components[component].service
    arn = getattr(service, "task_definition_arn", "")
    revision = observed.snapshot.components[component].revisions[arn]
    return environment_value(revision.content, "ETCD_ENDPOINTS")


async def test_three_members_grow_and_one_that_is_lost_is_replaced_without_an_outage(
    stack: Stack,
) -> None:
    clustered(stack, serving=True)
    first = await stack.converge(SECONDS)
    assert len(members(first)) == 3
    urls = (first.plan.endpoints.etcd or "").split(",")
    assert len(set(urls)) == 3
    for name in ("frontend", "prefill", "decode"):
        assert endpoints_of(first, name) == first.plan.endpoints.etcd
    await stack.chat()

    def record(done: Pass) -> None:
        stack.last = done  # The frontend is replaced too: its clients follow it.

    async with (
        stack.traffic() as traffic,
        stack.reconciler() as reconciler,
        traffic.background("load", 2, words=20, tokens=4, pause=0.3),
    ):
        await stack.stop_tasks("etcd-1")
        second = await reconciler.until_converged(150, record)
    assert second.converged, second.plan.waits
    assert [r.error for r in traffic.done if r.error] == []
    assert len(traffic.done) > 20
    kept = members(first) & members(second)
    assert (len(kept), len(members(second))) == (2, 3)
    after = (second.plan.endpoints.etcd or "").split(",")
    assert (after[0], after[2]) == (urls[0], urls[2])
    assert after[1] not in urls
    for name in ("frontend", "prefill", "decode"):
        assert endpoints_of(second, name) == second.plan.endpoints.etcd
    await stack.chat()
    again = await stack.observe()
    assert again.plan.actions == ()


async def put(url: str, value: bytes) -> None:
    async with open_etcd(url, 5.0) as client:
        await client.put(b"kept", value)


async def read(url: str) -> bytes | None:
    async with open_etcd(url, 5.0) as client:
        stored = await client.get(b"kept")
    return None if stored is None else bytes(stored.value)


async def test_members_are_replaced_with_the_data_kept_and_two_lost_ones_begin_anew(
    stack: Stack,
) -> None:
    clustered(stack, serving=False)
    first = await stack.converge(SECONDS)
    url = (first.plan.endpoints.etcd or "").split(",")[1]
    await put(url, b"data")
    # ECS starts it with the environment that began the cluster, so it would begin it again.
    await stack.stop_tasks("etcd-0")
    second = await stack.converge(SECONDS)
    before = (second.plan.endpoints.etcd or "").split(",")
    assert [await read(u) for u in before] == [b"data"] * 3
    assert len(members(first) & members(second)) == 2

    stack.edit_task_definition(
        "etcd", lambda d: d["containerDefinitions"][0]["command"].append("--max-txn-ops=256")
    )
    answered: list[int] = []

    def record(done: Pass) -> None:
        parts = [done.snapshot.components[name].probes.values() for name in PLACES]
        answered.append(sum(probe.healthy for probes in parts for probe in probes))

    async with stack.reconciler() as reconciler:
        third = await reconciler.until_converged(150, record)
    assert third.converged, third.plan.waits
    # A pass may coincide with the election of a leader.
    assert sum(count < 2 for count in answered) <= 3, answered
    after = (third.plan.endpoints.etcd or "").split(",")
    assert not {*before} & {*after}
    assert [await read(u) for u in after] == [b"data"] * 3
    assert not members(second) & members(third)

    await stack.observe()
    await stack.stop_tasks("etcd-1")
    await stack.stop_tasks("etcd-2")
    last = await stack.converge(150)
    assert len(members(last)) == 3
    assert not members(last) & members(third)
    assert [await read(u) for u in (last.plan.endpoints.etcd or "").split(",")] == [None] * 3
