"""Edits of the graph on real processes: rollouts, failed revisions, rollback."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.controller import Pass, pass_status
from tests.integration.stack import Stack, running_tasks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


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
    (frontend,), (prefill,) = (running_tasks(stack, name) for name in ("frontend", "prefill"))
    assert frontend.containers[0].image.endswith(":1.3.2")
    command = prefill.definition.containers[0]["command"]
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

    def collect(done: Pass) -> None:
        waits.update(w.reason for w in done.plan.waits if w.component == "decode")
        components = {c["name"]: c for c in pass_status(stack.graph, done)["components"]}
        stops.update(t["why"] for t in components["decode"]["stopped"])

    async with stack.reconciler() as reconciler:
        done = await reconciler.until_converged(60, collect)
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


async def test_a_rollback_is_on_hold_until_it_is_cleared(stack: Stack) -> None:
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
    assert (code, "on hold until" in err) == (1, True)
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


async def test_a_rollout_that_never_serves_is_rolled_back_at_its_deadline(stack: Stack) -> None:
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
