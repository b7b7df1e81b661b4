"""A graph's registrations are read in the namespaces of all its generations (real etcd)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.discovery.cards import CARDS
from ecs_dynamo.discovery.credentials import Credentials, EtcdCredentials
from ecs_dynamo.discovery.etcd import (
    INSTANCES,
    Discovery,
    open_etcd,
    read_registrations,
    watch_instances,
)
from ecs_dynamo.discovery.namespaces import MAX_NAMESPACES, list_namespaces
from ecs_dynamo.model.dynamo.discovery import Registration
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import CreateService
from ecs_dynamo.model.snapshot import Unknown
from tests.integration.secure_servers import HOST, secure_etcd
from tests.integration.servers import answers, etcd_command, etcd_process, free_port, running
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

OLD, NEW = "ns-g11111111", "ns-g22222222"
INSTANCE = b'{"transport": {"tcp": "10.0.0.1:4000/a/b"}}'
CARD = b'{"card_json": {"kv_cache_block_size": %d}}'


async def register(url: str, namespace: str, lease: int, block_size: int | None = None) -> None:
    """Write the keys of a worker, as Dynamo does."""
    worker = f"{namespace}/backend/generate/{lease:x}"
    async with open_etcd(url, 3.0) as client:
        if block_size is not None:
            await client.put(f"{CARDS}/{worker}".encode(), CARD % block_size)
        await client.put(f"{INSTANCES}/{worker}".encode(), INSTANCE)


def registered(discovery: Discovery) -> tuple[Registration, ...]:
    assert isinstance(discovery.registrations, tuple), discovery.registrations
    return discovery.registrations


async def test_all_generations_are_read_and_other_graphs_are_listed(tmp_path: Path) -> None:
    async with etcd_process(tmp_path) as url:
        assert await read_registrations(url, "ns", 3.0) == Discovery(())
        # The same lease id in two namespaces: each registration has the card of its own namespace.
        await register(url, "ns", 1, 16)
        await register(url, OLD, 1, 32)
        await register(url, NEW, 2, 64)
        for number, foreign in enumerate(("ns-gpu", "ns2", "ns-large-g33333333", "other"), 10):
            await register(url, foreign, number)
        await register(url, "ns-blue", 3)
        discovery = await read_registrations(url, "ns", 3.0, workers=["ns", "ns-blue"])
        cards = {
            (r.namespace, r.lease_id): dict(r.card.facts)["kv_cache_block_size"] if r.card else None
            for r in registered(discovery)
        }
        assert cards == {
            ("ns", 1): "16",
            (OLD, 1): "32",
            (NEW, 2): "64",
            ("ns-blue", 3): None,
        }
        own = {"ns", OLD, NEW, "ns-blue"}
        others = {"ns-gpu", "ns2", "ns-large-g33333333"}
        assert discovery.namespaces == frozenset(own | others)
        # For a graph with a longer name, generations of one with a shorter name matter.
        longer = await read_registrations(url, "ns-gpu", 3.0)
        assert isinstance(longer.namespaces, frozenset)
        assert longer.namespaces >= {"ns-gpu", OLD, NEW}
        assert [r.namespace for r in registered(longer)] == ["ns-gpu"]


async def test_the_number_of_listed_namespaces_is_bounded(tmp_path: Path) -> None:
    async with etcd_process(tmp_path) as url:
        async with open_etcd(url, 3.0) as client:
            await client.put(f"{INSTANCES}/ns-not-a-namespace".encode(), b"")
            await client.put(f"{INSTANCES}/ns-\xff/a".encode("latin-1"), b"")
            for number in range(MAX_NAMESPACES - 2):
                await client.put(f"{INSTANCES}/ns{number}/a/b/1".encode(), b"")
            listed = await list_namespaces(client, INSTANCES, "ns")
            assert len(listed) == MAX_NAMESPACES - 1
            assert "ns-not-a-namespace" not in listed
            for number in range(3):
                await client.put(f"{INSTANCES}/nsx{number}/a/b/1".encode(), b"")
            with pytest.raises(ConnectionError, match=f"more than {MAX_NAMESPACES} namespaces"):
                await list_namespaces(client, INSTANCES, "ns")
        await register(url, NEW, 2)
        discovery = await read_registrations(url, "ns", 3.0, workers=[NEW])
        assert isinstance(discovery.namespaces, Unknown)
        assert [r.namespace for r in registered(discovery)] == [NEW]


async def test_etcd_may_permit_the_graphs_own_namespace_only(tmp_path: Path) -> None:
    user = EtcdCredentials(username="dynamo", password="secret")
    prefixes = (f"{INSTANCES}/ns/", f"{CARDS}/ns/")
    async with secure_etcd(tmp_path, None, Credentials(etcd=user), prefixes) as url:
        discovery = await read_registrations(url, "ns", 3.0, user)
        assert registered(discovery) == ()
        assert isinstance(discovery.namespaces, Unknown)
        assert "permission denied" in discovery.namespaces.reason
        # The namespace of a running generation must be readable: it may have workers.
        discovery = await read_registrations(url, "ns", 3.0, user, ["ns", NEW])
        assert isinstance(discovery.registrations, Unknown)


@pytest.mark.parametrize("namespace", ["ns", OLD])
async def test_a_watch_follows_every_generation(tmp_path: Path, namespace: str) -> None:
    async with etcd_process(tmp_path) as url:
        changes: list[str] = []
        watching = asyncio.create_task(
            watch_instances(url, "ns", lambda: changes.append("an instance"))
        )

        async def noticed() -> bool:
            await register(url, namespace, 1)
            return bool(changes)

        try:
            await until(f"a registration in {namespace} is noticed", noticed, 15)
            assert not watching.done()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def test_frontends_do_not_start_where_they_would_serve_workers_of_others(
    stack: Stack, tmp_path: Path
) -> None:
    url = f"http://{HOST}:{free_port()}"
    with running(*etcd_command(tmp_path, url)):
        await until("etcd answers", answers(Role.ETCD, url), 15)
        await register(url, "local-gpu", 1)

        def external(graph: dict[str, Any]) -> None:
            graph["infrastructure"] = {"etcd": {"endpoints": [url]}}
            for component in graph["components"]:
                component.pop("scaling", None)

        stack.edit(external)

        done = await stack.observe()
        assert any("etcd also has local-gpu" in wait.reason for wait in done.plan.waits)
        # Workers in namespaces of their own mix nothing; only a frontend could.
        created = {a.component for a in done.plan.actions if isinstance(a, CreateService)}
        assert "frontend" not in created
        degraded = {c.reason for c in done.plan.conditions if c.status}
        assert "NamespaceClash" in degraded
        code, out, err = await stack.cli("doctor", "-f", str(stack.graph_file), "--json")
        findings = [f for f in json.loads(out) if f["check"] == "namespaces"]
        assert [(code, f["severity"]) for f in findings] == [(1, "error")], out + err
        async with open_etcd(url, 3.0) as client:
            await client.delete_prefix(f"{INSTANCES}/local-gpu/".encode())
        await stack.converge()
        await stack.chat()
