"""Edits of the graph on real processes: rollouts, failed revisions, rollback."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.controller import Pass, pass_status
from tests.integration.stack import Stack, component_of, running_tasks

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


async def fail_to_pull(stack: Stack, name: str) -> Pass:
    """Declare an image that does not exist, and reconcile until the graph is stuck."""
    image = "example.com/no-such-image:1"
    stack.edit(lambda d: component_of(d, name).update(image=image))
    stops: set[str] = set()

    def collect(done: Pass) -> None:
        for component in pass_status(stack.graph, done)["components"]:
            stops.update(t["why"] for t in component["stopped"])

    async with stack.reconciler() as reconciler:
        stack.last = await reconciler.until_converged(90, collect)
    assert not stack.last.converged
    assert any("no-such-image" in why for why in stops), stops
    return stack.last


async def assert_on_hold(stack: Stack, text: str, name: str) -> None:
    """A new daemon knows from AWS that the component's declaration failed, and writes nothing."""
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file), "--timeout", "30")
    assert (code, text in err) == (1, True), err
    async with stack.reconciler() as reconciler:
        stack.last = await reconciler.run_pass()
        assert reconciler.aws.writes == 0
        assert name in stack.last.plan.failures


async def test_a_generation_whose_image_does_not_exist_is_withdrawn(stack: Stack) -> None:
    await stack.converge()
    before = {t.arn for name in ("decode", "prefill") for t in stack.tasks(name)}
    done = await fail_to_pull(stack, "decode")
    assert "is withdrawn" in done.plan.failures["decode"]
    assert "is withdrawn" in done.plan.failures["prefill"]
    await assert_on_hold(stack, "is withdrawn", "decode")
    assert {t.arn for name in ("decode", "prefill") for t in stack.tasks(name)} == before
    await stack.chat()


async def test_a_bad_revision_fails_clearly_and_the_old_one_serves(stack: Stack) -> None:
    await stack.converge()
    (old,) = stack.tasks("frontend")
    done = await fail_to_pull(stack, "frontend")
    assert "gave up" in done.plan.failures["frontend"]
    assert "decode" not in done.plan.failures
    await assert_on_hold(stack, "gave up on revision", "frontend")
    assert old.arn in {t.arn for t in stack.tasks("frontend") if t.is_running}
    await stack.chat()


def variables_of(stack: Stack, name: str) -> set[str]:
    """Return the environment variables of a component's only running task."""
    (task,) = running_tasks(stack, name)
    return {e["name"] for e in task.definition.containers[0]["environment"]}


async def test_a_rollback_returns_to_the_previous_generation_until_it_is_cleared(
    stack: Stack,
) -> None:
    await stack.converge()
    stack.edit(lambda d: component_of(d, "decode").update(env={"DYN_LOG": "debug"}))
    await stack.converge()
    assert "DYN_LOG" in variables_of(stack, "decode")
    file = ("-f", str(stack.graph_file))
    code, out, err = await stack.cli("rollback", "decode", *file)
    assert code == 0, err
    assert "is withdrawn" in out
    assert "DYN_LOG" in out
    code, _, err = await stack.cli("reconcile", *file, "--timeout", "60")
    assert (code, "on hold until" in err) == (1, True), err
    await stack.observe()
    assert "DYN_LOG" not in variables_of(stack, "decode")
    await stack.chat()
    code, _, err = await stack.cli("rollback", "prefill", *file)
    assert (code, "is withdrawn already" in err) == (1, True), err
    code, _, err = await stack.cli("rollback", "decode", "--clear", *file)
    assert code == 0, err
    await stack.converge()
    assert "DYN_LOG" in variables_of(stack, "decode")
    code, _, err = await stack.cli("rollback", "nobody", *file)
    assert (code, "name one of" in err) == (2, True)


async def test_a_rollback_within_a_generation_is_on_hold_until_it_is_cleared(stack: Stack) -> None:
    await stack.converge()
    file = ("-f", str(stack.graph_file))
    code, _, err = await stack.cli("rollback", "decode", *file)
    assert (code, "there is no previous generation" in err) == (1, True), err
    stack.change_in_place("decode", "2")
    await stack.converge()
    code, out, err = await stack.cli("rollback", "decode", *file)
    assert code == 0, err
    assert "local-decode:2 -> content of local-decode:1" in out
    code, _, err = await stack.cli("reconcile", *file, "--timeout", "60")
    assert (code, "on hold until" in err) == (1, True), err
    await stack.observe()
    (task,) = running_tasks(stack, "decode")
    assert "dockerLabels" not in task.definition.containers[0]
    await stack.chat()
    code, _, err = await stack.cli("rollback", "decode", "--clear", *file)
    assert code == 0, err
    await stack.converge()


async def test_a_rollout_that_never_serves_is_rolled_back_at_its_deadline(stack: Stack) -> None:
    await stack.converge()
    (old,) = stack.tasks("frontend")

    def hang(document: dict[str, Any]) -> None:
        # Alive, within its start period, and never healthy: ECS itself would wait indefinitely.
        frontend = component_of(document, "frontend")
        frontend["command"] = ["exec sleep 600"]
        frontend["rollout"] = {"progressDeadlineSeconds": 4}

    stack.edit(hang)
    async with stack.reconciler() as reconciler:
        done = await reconciler.until_converged(60)
    assert "back to local-frontend:1" in done.plan.failures["frontend"] or (
        "progress deadline" in done.plan.failures["frontend"]
    )
    code, _, err = await stack.cli("reconcile", "-f", str(stack.graph_file), "--timeout", "30")
    assert (code, "progress deadline" in err) == (1, True), err
    await stack.observe()
    # ECS has a new deployment for the previous revision, and replaces the old task in turn.
    assert {t.task_definition_arn for t in stack.tasks("frontend") if t.is_running} == {
        old.task_definition_arn
    }
    await stack.chat()
