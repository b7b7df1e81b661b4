"""The main job on real processes: cold start, endpoint moves, failures, edits, scaling."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from ecs_dynamo.controller import Pass, pass_status
from ecs_dynamo.demo.daemon import DemoDaemon, component, desired, ready
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.snapshot import Unknown
from tests.integration.stack import Stack, placed_on, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def endpoints_of(stack: Stack, name: str) -> tuple[str | None, str | None]:
    """Return the environment of a component's running revision."""
    assert stack.last is not None
    seen = stack.last.snapshot.components[name]
    service: Any = seen.service
    content = seen.revisions[service.task_definition_arn].content
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
    # one DescribeTaskDefinition for each of four components. A young task may stand for a failed
    # one: ListTasks of the stopped ones of each cluster.
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


@pytest.mark.parametrize("mode", ["awsvpc", "bridge"])
async def test_workers_in_other_network_modes(stack: Stack, mode: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["networkMode"] = mode

    stack.edit_task_definition("prefill", change)
    if mode == "bridge":  # Only its own instance can reach it.
        await stack.local.add_instance("dynamo-GPU", gpus=2, cpu=8192, memory=64_000)
        *_, large = stack.local.state.instances.values()

        def together(document: dict[str, Any]) -> None:
            for one in document["components"]:
                one["placement"] = placed_on(large.ec2_id)

        stack.edit(together)
    await stack.converge()
    (task,) = stack.tasks("prefill")
    instances = {i.address for i in stack.local.state.instances.values()}
    assert (task.private_ip in instances) == (mode == "bridge")
    await stack.chat()


async def test_infrastructure_in_bridge_mode_is_reached_by_its_mapped_port(stack: Stack) -> None:
    def change(document: dict[str, Any]) -> None:
        document["networkMode"] = "bridge"
        document["requiresCompatibilities"] = ["EC2"]

    def on_ec2(document: dict[str, Any]) -> None:
        document["infrastructure"]["launchType"] = "EC2"
        document["clusters"]["infrastructure"] = "dynamo-GPU"

    stack.edit_task_definition("etcd-nats", change)
    stack.edit(on_ec2)
    done = await stack.converge()
    assert done.plan.endpoints.etcd is not None
    assert not done.plan.endpoints.etcd.endswith(":2379")
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
                # Not `stack.look`: the clients' view must not depend on one probe under load.
                async with stack.reconciler() as reconciler:
                    seen = (await reconciler.run_pass(act=False)).snapshot
                # Busy workers are identified by the lease that they registered with.
                assert not isinstance(seen.busy, Unknown)
                assert not isinstance(seen.registrations, Unknown)
                assert {r.lease_id for r in seen.registrations} >= {k for k, v in seen.busy.items()}
                assert any(seen.busy.values())
            await daemon.until("scaled in", lambda s: desired(s, "prefill") == 1, 120)
            failed = [r.error for r in traffic.done if r.error]
        assert not failed
        assert component(daemon.status, "prefill")["scaling"] == {"min": 1, "max": 3}
    finally:
        await daemon.stop()


async def test_graph_edits_are_rolled_out(stack: Stack) -> None:
    await stack.converge()

    def edit(document: dict[str, Any]) -> None:
        by_name = {c["name"]: c for c in document["components"]}
        by_name["decode"]["replicas"] = 2
        by_name["decode"]["env"] = {"DYN_LOG": "warn"}
        by_name["frontend"]["image"] = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.2"
        by_name["prefill"]["command"] = [
            "exec python3 -m dynamo.vllm --model Qwen/Qwen3-0.6B --disaggregation-mode prefill"
        ]

    stack.edit(edit)
    done = await stack.converge(90)
    assert done.plan.replicas["decode"].ready == 2
    running = {t.service: t for t in stack.local.state.tasks.values() if t.alive}
    assert running["local-frontend"].containers[0].image.endswith(":1.3.2")
    command = running["local-prefill"].definition.containers[0]["command"]
    assert "--enforce-eager" not in command[0]
    await stack.chat()


async def test_a_bad_revision_fails_clearly_and_the_old_one_serves(stack: Stack) -> None:
    await stack.converge()
    (old,) = stack.tasks("decode")

    def break_it(document: dict[str, Any]) -> None:
        document["components"][1]["image"] = "example.com/no-such-image:1"

    stack.edit(break_it)
    waits: set[str] = set()
    stops: set[str] = set()

    def look(one: Pass) -> None:
        waits.update(w.reason for w in one.plan.waits if w.component == "decode")
        found = {c["name"]: c for c in pass_status(stack.graph, one)["components"]}
        stops.update(t["why"] for t in found["decode"]["stopped"])

    async with stack.reconciler() as reconciler:
        done = await reconciler.until_converged(60, look)
        assert not done.converged
        assert "gave up" in done.plan.failures["decode"]
        assert any("task that failed: CannotPullContainerError" in w for w in waits), waits
        assert stops, "no stopped task was shown"
        assert all("no-such-image" in why for why in stops)
        writes = reconciler.aws.writes
    stack.last = done
    # A new daemon knows it too, from AWS.
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file), "--timeout", "30")
    assert code == 1
    assert "gave up on revision" in err
    async with stack.reconciler() as reconciler:
        await reconciler.run_pass()
        assert reconciler.aws.writes == 0 < writes
    assert old.arn in {t.arn for t in stack.tasks("decode") if t.is_running}
    await stack.chat()


async def test_an_unreachable_endpoint_is_told_in_one_line(stack: Stack) -> None:
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
    names = [s.name for s in stack.local.state.services.values()]
    assert sorted(names) == ["local-decode", "local-etcd-nats", "local-frontend", "local-prefill"]
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
    await stack.aws(
        "CreateService",
        cluster="dynamo-GPU",
        serviceName="local-decode",
        taskDefinition="theirs",
        desiredCount=0,
    )
    before = json.loads(
        json.dumps(stack.local.state.services["dynamo-GPU", "local-decode"].request)
    )
    async with stack.reconciler() as reconciler:
        done = await reconciler.until_converged(8)
        await reconciler.until_converged(20, taking_down=True)
    assert not done.converged
    assert any("local-decode" in w.reason or w.component == "decode" for w in done.plan.waits)
    theirs = stack.local.state.services["dynamo-GPU", "local-decode"]
    assert (theirs.status, theirs.request) == ("ACTIVE", before)


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


async def test_bad_input_changes_nothing(stack: Stack) -> None:
    stack.edit(lambda d: d["components"][0].update(replcias=2))
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file))
    assert code == 2
    assert "replicas" in err
    await asyncio.sleep(0)
    assert not stack.local.calls


async def test_rollback_is_held_and_cleared(stack: Stack) -> None:
    await stack.converge()

    def edit(document: dict[str, Any]) -> None:
        document["components"][1]["env"] = {"DYN_LOG": "debug"}

    stack.edit(edit)
    await stack.converge()
    file = ("-f", str(stack.graph_file))
    code, out, err = await stack.cli("rollback", "decode", *file)
    assert code == 0, err
    assert "local-decode:2 -> content of local-decode:1" in out
    code, _, err = await stack.cli("reconcile", *file, "--timeout", "30")
    assert (code, "held until" in err) == (1, True)
    await stack.observe()
    running = next(
        t for t in stack.local.state.tasks.values() if t.alive and t.service == "local-decode"
    )
    values = {e["name"]: e["value"] for e in running.definition.containers[0]["environment"]}
    assert "DYN_LOG" not in values
    await stack.chat()
    code, _, err = await stack.cli("rollback", "decode", "--clear", *file)
    assert code == 0, err
    await stack.converge()
    code, _, err = await stack.cli("rollback", "nobody", *file)
    assert (code, "name one of" in err) == (2, True)


async def test_a_rollout_that_never_serves_is_taken_back_by_its_deadline(stack: Stack) -> None:
    await stack.converge()
    (old,) = stack.tasks("decode")

    def hang(document: dict[str, Any]) -> None:
        # Alive, within its start period, and never healthy: ECS itself would wait indefinitely.
        document["components"][1]["command"] = ["exec sleep 600"]
        document["components"][1]["rollout"] = {"progressDeadlineSeconds": 4}

    stack.edit(hang)
    async with stack.reconciler() as reconciler:
        done = await reconciler.until_converged(60)
    assert "back to local-decode:1" in done.plan.failures["decode"] or (
        "progress deadline" in done.plan.failures["decode"]
    )
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file), "--timeout", "30")
    assert (code, "progress deadline" in err) == (1, True)
    await stack.observe()
    # ECS has a new deployment for the previous revision, and replaces the old task in turn.
    assert {t.task_definition_arn for t in stack.tasks("decode") if t.is_running} == {
        old.task_definition_arn
    }
    await stack.chat()
