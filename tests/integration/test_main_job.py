"""The main job on real processes: cold start, endpoint moves, failures, scaling, and the end."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from ecs_dynamo.demo.daemon import DemoDaemon, component, desired, ready
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.snapshot import Unknown
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def endpoints_of(stack: Stack, name: str) -> tuple[str | None, str | None]:
    """Return the etcd and NATS endpoints in a component's running revision."""
    assert stack.last is not None
    observed = stack.last.snapshot.components[name]
    service: Any = observed.service
    content = observed.revisions[service.task_definition_arn].content
    return environment_value(content, "ETCD_ENDPOINTS"), environment_value(content, "NATS_SERVER")


async def test_cold_start_serves_and_then_has_nothing_to_do(stack: Stack) -> None:
    code, out, err = await stack.cli(
        "reconcile", "-f", str(stack.graph_file), "--json", "--timeout", "60"
    )
    assert code == 0, err
    assert json.loads(out)["converged"] is True
    await stack.observe()
    await stack.chat(stream=False)
    assert (await stack.chat(stream=True)).first_token_seconds is not None

    code, out, err = await stack.cli("reconcile", "-f", str(stack.graph_file), "--json")
    again = json.loads(out)
    assert (code, again["writes"]) == (0, 0)
    # DescribeClusters; ListServices, DescribeServices, ListTasks and DescribeTasks of each of two
    # clusters; ListContainerInstances, DescribeContainerInstances and DescribeInstances of one;
    # one DescribeTaskDefinition for each of four components. A young task may replace a failed
    # one: ListTasks of the stopped tasks of each cluster.
    assert again["reads"] <= 1 + 2 * 4 + 3 + 4 + 2


async def test_etcd_and_nats_at_a_new_address_are_followed(stack: Stack) -> None:
    await stack.converge()
    before = endpoints_of(stack, "decode")
    await stack.stop_tasks("etcd-nats")
    after = await stack.converge(90)
    assert after.plan.endpoints.etcd not in (None, before[0])
    for name in ("frontend", "decode", "prefill"):
        assert endpoints_of(stack, name) == (
            after.plan.endpoints.etcd,
            after.plan.endpoints.nats,
        )
    await stack.chat()


async def test_nats_alone_moves(stack: Stack) -> None:
    def only(container: str) -> Any:
        def change(document: dict[str, Any]) -> None:
            document["family"] = container
            document["containerDefinitions"] = [
                c for c in document["containerDefinitions"] if c["name"] == container
            ]

        return change

    folder = stack.folder / "taskdefs"
    for name in ("etcd", "nats"):
        (folder / f"{name}.json").write_text((folder / "etcd-nats.json").read_text())
        stack.edit_task_definition(name, only(name))

    def apart(document: dict[str, Any]) -> None:
        document["infrastructure"] = {
            name: {"taskDefinition": f"taskdefs/{name}.json"} for name in ("etcd", "nats")
        }

    stack.edit(apart)
    first = await stack.converge()
    await stack.stop_tasks("nats")
    second = await stack.converge(90)
    assert second.plan.endpoints.etcd == first.plan.endpoints.etcd
    assert second.plan.endpoints.nats != first.plan.endpoints.nats
    assert endpoints_of(stack, "prefill")[1] == second.plan.endpoints.nats
    await stack.chat()


async def test_a_killed_worker_is_replaced_and_serves(stack: Stack) -> None:
    await stack.converge()
    (task,) = stack.tasks("decode")
    process = stack.local.state.tasks[task.arn.rsplit("/", 1)[-1]].process
    assert process is not None
    await process.kill(signal.SIGKILL)

    async def replaced() -> bool:
        await stack.observe()
        return any(t.arn != task.arn for t in stack.tasks("decode"))

    await until("decode replaced", replaced, 30)
    await stack.converge()
    await stack.chat()


async def test_a_daemon_killed_in_the_middle_of_a_roll_is_taken_over(stack: Stack) -> None:
    await stack.converge()
    log = stack.folder / "daemon.log"
    first = DemoDaemon(stack.graph_file, stack.environ, log)
    try:
        await first.start()
        await stack.stop_tasks("etcd-nats")
        # Halfway: some components have the new endpoints, others do not yet.
        await first.until(
            "a dependant rolls",
            lambda s: any(len(c["deployments"]) > 1 for c in s.get("components", ())),
            60,
        )
    finally:
        first.kill()
    second = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "second.log")
    await second.start()
    try:
        await second.until("converged", lambda s: bool(s.get("converged")), 90)
    finally:
        code, seconds = await second.stop()
    assert code == 0
    assert seconds < 25
    await stack.observe()
    assert endpoints_of(stack, "frontend") == endpoints_of(stack, "decode")
    await stack.chat()


@pytest.mark.parametrize("policy", ["queue", "slo"])
async def test_scales_out_and_in_by_real_queue_depth(stack: Stack, policy: str) -> None:
    def scaling(document: dict[str, Any]) -> None:
        document["components"][2]["scaling"] |= {
            "policy": policy,
            "coldStartSeconds": 5,
            "headroom": 0,
        }

    stack.edit(scaling)
    await stack.converge()
    daemon = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "daemon.log")
    await daemon.start()
    try:
        async with stack.traffic() as traffic:
            async with traffic.background("load", 40, words=220, tokens=4):
                await daemon.until("scaled out", lambda s: ready(s, "prefill") >= 2, 60)
                # Not `stack.observe`: the clients' view must not depend on one probe under load.
                async with stack.reconciler() as reconciler:
                    snapshot = (await reconciler.run_pass(act=False)).snapshot
                # Busy workers are identified by the lease that they registered with.
                assert not isinstance(snapshot.busy, Unknown)
                assert not isinstance(snapshot.registrations, Unknown)
                assert {r.lease_id for r in snapshot.registrations} >= {
                    k for k, v in snapshot.busy.items()
                }
                assert any(snapshot.busy.values())
            await daemon.until("scaled in", lambda s: desired(s, "prefill") == 1, 120)
            failed = [r.error for r in traffic.done if r.error]
        assert not failed
        assert component(daemon.status, "prefill")["scaling"] == {"min": 1, "max": 3}
    finally:
        await daemon.stop()


async def test_down_removes_everything_that_is_ours(stack: Stack) -> None:
    await stack.converge()
    code, _, err = await stack.cli("down", "-f", str(stack.graph_file), "--yes", "--timeout", "60")
    assert code == 0, err
    assert {s.status for s in stack.local.state.services.values()} <= {"INACTIVE"}
    assert not [t for t in stack.local.state.tasks.values() if t.holds_resources]


async def test_the_daemon_reloads_serves_and_stops(stack: Stack) -> None:
    import aiohttp

    daemon = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "daemon.log")
    await daemon.start()
    try:
        await daemon.until("converged", lambda s: bool(s.get("converged")), 60)
        async with aiohttp.ClientSession() as session:
            for path, expected in (("/healthz", 200), ("/readyz", 200), ("/", 200)):
                async with session.get(f"{daemon.url}{path}") as answer:
                    assert answer.status == expected, path
            async with session.get(f"{daemon.url}/metrics") as answer:
                text = await answer.text()
        assert 'ecs_dynamo_replicas{component="decode",graph="local",state="ready"} 1.0' in text
        good = stack.graph_file.read_text()
        stack.graph_file.write_text(good.replace("replicas: 1", "replicas: many", 1))
        daemon.send(signal.SIGHUP)
        await daemon.until("the bad file is reported", lambda s: bool(s.get("fileError")), 15)
        stack.graph_file.write_text(good)
        daemon.send(signal.SIGHUP)
        await daemon.until("the good file is taken", lambda s: s.get("fileError") is None, 15)
        assert daemon.status["converged"]
    finally:
        code, seconds = await daemon.stop()
    assert code == 0
    assert seconds < 25
