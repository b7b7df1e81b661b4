"""AWS that throttles, loses answers or cannot be reached, and invalid input."""

from __future__ import annotations

import asyncio
import json

import pytest

from ecs_dynamo.planning.desired.generations.identity import generation_of
from tests.integration.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_an_unreachable_endpoint_is_reported_in_one_line(stack: Stack) -> None:
    code, out, err = await stack.cli(
        "plan",
        "-f",
        str(stack.graph_file),
        "--endpoint-url",
        "http://127.0.0.1:9",
        ECS_DYNAMO_OBSERVE_TIMEOUT_SECONDS="3",
    )
    assert code == 1
    assert "could be observed" in err
    assert "127.0.0.1:9" in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


async def test_throttling_and_lost_answers_are_survived(stack: Stack) -> None:
    await stack.fault("*", "throttle", count=6)
    await stack.fault("CreateService", "timeout-after-effect", count=2, seconds=0.2)
    await stack.fault("RegisterTaskDefinition", "timeout-after-effect", count=1, seconds=0.2)
    await stack.fault("DescribeServices", "error", count=2)
    await stack.converge(90)
    names = [stack.component_of(s) for s in stack.local.state.services.values()]
    assert sorted(names) == ["decode", "etcd-nats", "frontend", "prefill"]
    await stack.chat()


async def test_a_foreign_service_of_the_same_name_is_left_alone(stack: Stack) -> None:
    await stack.aws(
        "RegisterTaskDefinition",
        family="theirs",
        networkMode="host",
        containerDefinitions=[
            {"name": "x", "image": "busybox", "memory": 64, "command": ["sleep", "1000"]}
        ],
    )
    name = f"local-decode-{generation_of(stack.graph)}"
    await stack.aws(
        "CreateService",
        cluster="dynamo-GPU",
        serviceName=name,
        taskDefinition="theirs",
        desiredCount=0,
    )
    theirs = stack.local.state.services["dynamo-GPU", name]
    before = json.loads(json.dumps(theirs.request))
    async with stack.reconciler() as reconciler:
        done = await reconciler.until_converged(8)
        await reconciler.until_converged(20, taking_down=True)
    assert not done.converged
    assert any(name in w.reason or w.component == "decode" for w in done.plan.waits)
    assert (theirs.status, theirs.request) == ("ACTIVE", before)


async def test_bad_input_changes_nothing(stack: Stack) -> None:
    stack.edit(lambda d: d["components"][0].update(replcias=2))
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file))
    assert code == 2
    assert "replicas" in err
    await asyncio.sleep(0)
    assert not stack.local.calls
