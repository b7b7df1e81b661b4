"""Infrastructure with volumes, on real processes."""

from __future__ import annotations

import json
from typing import Any

import nats
import pytest

from tests.integration.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

VOLUME = {"fileSystemId": "fs-0123456789abcdef0"}


def apart(stack: Stack, *, serving: bool, **parts: Any) -> None:
    """Separate etcd and NATS, each with a task definition; ``parts`` are additional fields."""
    whole = json.loads((stack.folder / "taskdefs" / "etcd-nats.json").read_text())
    for name in ("etcd", "nats"):
        own = [c for c in whole["containerDefinitions"] if c["name"] == name]
        path = stack.folder / "taskdefs" / f"{name}.json"
        path.write_text(json.dumps({**whole, "family": name, "containerDefinitions": own}))

    def edit(document: dict[str, Any]) -> None:
        document["infrastructure"] = {
            name: {"taskDefinition": f"taskdefs/{name}.json", **parts.get(name, {})}
            for name in ("etcd", "nats")
        }
        if not serving:
            for component in document["components"]:
                component.pop("scaling", None)
                component["replicas"] = 0

    stack.edit(edit)


async def test_a_replaced_nats_has_its_streams_and_messages(stack: Stack) -> None:
    apart(stack, serving=False, nats={"volume": VOLUME})
    first = await stack.converge()
    url = first.plan.endpoints.nats or ""
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="work", subjects=["work.*"])
    for number in range(3):
        await client.jetstream().publish("work.a", str(number).encode())
    await client.close()

    await stack.stop_tasks("nats")
    second = await stack.converge(60)
    assert second.plan.endpoints.nats not in (None, url)
    client = await nats.connect(second.plan.endpoints.nats or "")
    state = (await client.jetstream().stream_info("work")).state
    message = await client.jetstream().get_msg("work", 3)
    await client.close()
    assert (state.messages, message.data) == (3, b"2")

    # A change never starts a second server beside the first, which is stopped before.
    stack.edit_task_definition(
        "nats", lambda d: d["containerDefinitions"][0].update(image="nats:2.12-alpine")
    )
    await stack.converge(60)
    service = next(s for s in stack.local.state.services.values() if s.name == "local-nats")
    older, newer = sorted(
        (t for t in stack.local.state.service_tasks(service) if t.started_at is not None),
        key=lambda t: t.created_at,
    )[-2:]
    assert older.stopping_at is not None
    assert older.stopping_at <= newer.created_at
