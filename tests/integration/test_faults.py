"""The process dies after each of its writes: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from ecs_dynamo.aws.rate_limits import is_write
from ecs_dynamo.controller import Pass, Reconciler
from tests.integration.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class DiedError(Exception):
    """The process died after a write took effect and before anything else happened."""


def mortal(reconciler: Reconciler, fatal: set[str]) -> None:
    """Kill the process right after its first write that was not ``fatal`` before."""
    real = reconciler.aws.call

    async def call(service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        answer = await real(service, operation, **parameters)
        write = f"{operation} {json.dumps(parameters, sort_keys=True, default=str)}"
        if is_write(operation) and write not in fatal:
            fatal.add(write)
            raise DiedError(operation)
        return answer

    setattr(reconciler.aws, "call", call)  # noqa: B010 (the method of this one object)


async def dying(stack: Stack, *, down: bool = False) -> Counter[str]:
    """Run processes that each die after another write, until no write is left; return the number
    of deaths by operation."""
    fatal: set[str] = set()
    deadline = time.monotonic() + 90
    done: Pass | None = None
    while done is None or not done.converged:
        async with stack.reconciler() as reconciler:
            mortal(reconciler, fatal)
            with suppress(DiedError):
                while done is None or not done.converged:
                    left = done.plan.waits if done else ()
                    assert time.monotonic() < deadline, f"not converged: {left} {fatal}"
                    done = await reconciler.run_pass(taking_down=down)
                    await asyncio.sleep(0.5)
    stack.last = done
    return Counter(write.split()[0] for write in fatal)


def revisions(stack: Stack) -> dict[str, int]:
    """Return the number of revisions that each family has had."""
    return dict(stack.local.state.revisions)


async def test_dying_after_any_write_loses_and_doubles_nothing(stack: Stack) -> None:
    stack.edit(lambda d: d["components"][2].pop("scaling"))
    deaths = await dying(stack)
    components = ("etcd-nats", "frontend", "prefill", "decode")
    names = {f"local-{n}" for n in components}
    assert {stack.component_of(s) for s in stack.local.state.services.values()} == set(components)
    assert (deaths["RegisterTaskDefinition"], deaths["CreateService"]) == (4, 4)
    assert revisions(stack) == dict.fromkeys(names, 1)
    await stack.chat()

    # Another content of decode, which is another generation of both, and one more replica.
    def edit(document: dict[str, Any]) -> None:
        document["components"][1] |= {"env": {"DYN_LOG": "warn"}, "replicas": 2}

    stack.edit(edit)
    await dying(stack)
    workers = {"local-decode", "local-prefill"}
    assert revisions(stack) == {name: 1 + (name in workers) for name in names}
    assert stack.running() == {name: 1 + (name == "decode") for name in components}
    await stack.chat()

    # The infrastructure moves: everything follows once.
    await stack.stop_tasks("etcd-nats")
    await dying(stack)
    assert revisions(stack) == {
        "local-etcd-nats": 1,
        "local-frontend": 2,
        "local-prefill": 3,
        "local-decode": 3,
    }
    await stack.chat()

    deaths = await dying(stack, down=True)
    # The previous generation's services have no replicas, and are deleted as well.
    assert deaths == {"DeleteService": 6}
    assert not any(t.alive for t in stack.local.state.tasks.values())
