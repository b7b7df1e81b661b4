"""Replicas on one instance, and a rollout that fails: serving replicas are not released.

Every network mode, both request planes, two to eight workers on one instance, and three faults in
a rollout of prefill, under load. The whole matrix takes some minutes: ``make matrix`` runs it and
writes ``docs/benchmarks/readiness.md``. Some of its runs are part of every test run.

With two workers the container health checks of the example stay, so that in host mode system ports
are fixed; with more they are left out, so that each worker chooses its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.controller import Pass
from ecs_dynamo.model.graph import TAG_GOOD
from tests.helpers.facts import ready_tasks
from tests.integration.conftest import local_stack, localstack_url
from tests.integration.stack import Stack, component_of, placed_on, running_tasks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

REPORT = "ECS_DYNAMO_MATRIX"
"""Names the file to which the whole matrix writes its table. Without it a selection runs."""
SELECTION = [("host", "nats", 4, "exits"), ("host", "tcp", 2, "loads")]
MATRIX = [
    *itertools.product(("host", "awsvpc", "bridge"), ("tcp", "nats"), (2, 8), ("exits", "loads")),
    *itertools.product(("host", "awsvpc", "bridge"), ("tcp", "nats"), (4,), ("mute",)),
]
LEASE = 5
LOADING = 6
DEADLINE = {"exits": 8, "mute": 8, "loads": LOADING + 12}
"""Seconds in which the new revision has to become ready."""
FAULTS: dict[str, Callable[[str], str]] = {
    "exits": lambda _: "exit 2",
    "loads": lambda command: f"sleep {LOADING}; {command}",
    "mute": lambda _: "exec sleep 600",
}
"""Commands of new revisions of prefill, by fault."""
CLIENTS = 2
"""Each has one request under way."""
GAPS = re.compile(
    r"is still activating|no backend worker available"
    r"|Worker disconnected before response stream was established"
)
"""Log lines of a frontend in the gaps of Dynamo 1.6.1 in a rollout (docs/dynamo-protocol.md): some
milliseconds at the start and at the end of a namespace, in which it is chosen and cannot serve; and
the end of a prefill worker, with which the mock engine loses what it has not scheduled."""
REQUEST = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WORDS = {
    "exits": "exits with code 2",
    "loads": f"is good, and takes {LOADING} s longer to load",
    "mute": "runs, and never registers",
}


@dataclass(frozen=True)
class Row:
    """A line of the report."""

    mode: str
    plane: str
    workers: int
    fault: str
    sent: int
    failed: int
    seconds: float


def configure(stack: Stack, mode: str, plane: str, workers: int, fault: str) -> str:
    """Set up the graph; return the command of its prefill workers."""
    commands: list[str] = []
    (instance,) = stack.local.state.instances.values()

    def graph(document: dict[str, Any]) -> None:
        document["runtime"] |= {
            "leaseSeconds": LEASE,
            "drainSeconds": 2,
            "requestPlane": plane,
            "eventPlane": "nats" if plane == "nats" else "zmq",
        }
        for name in ("frontend", "decode", "prefill") if mode == "bridge" else ():
            # Then workers can be reached from their own instance only, which must be declared.
            component_of(document, name)["placement"] = placed_on(instance.ec2_id)
        for name in ("decode", "prefill"):
            component = component_of(document, name)
            component.pop("scaling", None)
            component["replicas"] = workers // 2
            component["rollout"] = {
                "progressDeadlineSeconds": DEADLINE[fault],
                "circuitBreaker": False,
            }

    def workers_of(document: dict[str, Any]) -> None:
        container = document["containerDefinitions"][0]
        document["networkMode"] = mode
        commands.append(container["command"][0])
        if workers > 2:
            del container["healthCheck"]
        else:
            container["healthCheck"] |= {"interval": 5}

    stack.edit(graph)
    for name in ("decode", "prefill"):
        stack.edit_task_definition(name, workers_of)
    return commands[-1]


def lost_in_gaps(stack: Stack) -> int:
    """Return how many requests the frontends lost in the `GAPS`, by their logs."""
    return len(
        {
            request[0]
            for log in stack.folder.parent.glob("ecs/*/frontend.log")
            for line in log.read_text(errors="replace").splitlines()
            if GAPS.search(line) and (request := REQUEST.search(line))
        }
    )


async def run(stack: Stack, mode: str, plane: str, workers: int, fault: str) -> Row:
    """Converge, then roll prefill to a revision with the fault, under load."""
    command = configure(stack, mode, plane, workers, fault)
    await stack.converge()
    before = {t.arn for t in prefill(stack)}

    def edit(document: dict[str, Any]) -> None:
        component_of(document, "prefill")["command"] = [FAULTS[fault](command)]

    stack.edit(edit)
    served: list[int] = []
    moments: dict[str, float] = {}

    def record(done: Pass) -> None:
        now = time.monotonic()
        assert done.plan.effective is not None
        ready = [
            task
            for component in done.plan.effective.components
            if component.origin == "prefill"
            for task in ready_tasks(done.plan.effective, component, done.snapshot)
        ]
        served.append(len(ready))
        there = {t.arn for t in prefill(stack)}
        new = [s for s in stack.services("prefill") if s.primary.definition.revision == 2]
        if new and not before <= there:
            moments.setdefault("released", now)
        fresh = sum(t.task_definition_arn.endswith(":2") for t in ready)
        # A pass takes a second or more on a busy machine: a lease counts from what it observed.
        if fresh:
            moments.setdefault("first ready", done.now.monotonic)
        if fresh == workers // 2:
            moments.setdefault("all ready", done.now.monotonic)
        if any({"key": TAG_GOOD, "value": "2"} in s.tags for s in new):
            moments.setdefault("good", now)

    began = time.monotonic()
    async with stack.traffic() as traffic, stack.reconciler() as reconciler:
        async with traffic.background("load", CLIENTS, words=20, tokens=4, pause=0.1):
            done = await reconciler.until_converged(120, record)
            await asyncio.sleep(1.0)  # Clients may notice the last release.
        errors = [r.error for r in traffic.done if r.error]
        sent = len(traffic.done)
    taken = time.monotonic() - began
    assert len(errors) <= min(lost_in_gaps(stack), CLIENTS), errors[:3]
    assert sent > 10
    assert min(served) >= workers // 2, served
    definitions = {t.definition.revision for t in prefill(stack)}
    assert not done.plan.failures or done.plan.stuck, "it had more to do when its time was over"
    if fault == "loads":
        assert done.converged, done.plan.waits
        assert definitions == {2}
        for what, since in (("released", "first ready"), ("good", "all ready")):
            assert moments[what] - moments[since] > LEASE - 1, moments
    else:
        assert "prefill" in done.plan.failures, done.plan.waits
        assert moments == {}, "released for, or taken for good, what is bad"
        assert 2 not in definitions
    return Row(mode, plane, workers, fault, sent, len(errors), taken)


def prefill(stack: Stack) -> list[Any]:
    """Return prefill's running tasks as the local ECS knows them."""
    return [t for t in running_tasks(stack, "prefill") if t.started_at]


@pytest.mark.skipif(localstack_url() is not None, reason="needs the local ECS's own switches")
@pytest.mark.parametrize(
    ("mode", "plane", "workers", "fault"), MATRIX if os.environ.get(REPORT) else SELECTION
)
async def test_a_serving_replica_stays_until_its_successor_has_proven_itself(
    tiny_model: Path,
    tmp_path: Path,
    judged: Callable[..., None],
    mode: str,
    plane: str,
    workers: int,
    fault: str,
) -> None:
    async with local_stack(tmp_path, judged) as stack:
        await stack.local.add_instance("dynamo-GPU", gpus=16, cpu=65_536, memory=262_144)
        row = await run(stack, mode, plane, workers, fault)
    if report := os.environ.get(REPORT):
        note(Path(report), row)


HEAD = f"""# Rollouts on a shared instance

Generated by `make matrix`: real etcd, NATS and Dynamo 1.6.1 (mock engine) on the local ECS. All
workers of a graph run on one instance; half of them are prefill workers. Two clients send a steady
load while prefill is rolled to a revision with a fault. The lease is {LEASE} s. In each run the
serving replicas stayed until their successors had stayed ready for a lease, and a bad revision was
rolled back and never marked good.

| network mode | request plane | workers | the new revision | sent | failed | seconds |
| --- | --- | --- | --- | --- | --- | --- |
"""


def note(report: Path, row: Row) -> None:
    """Append a line to the report."""
    if not report.exists():
        report.write_text(HEAD)
    with report.open("a") as file:
        file.write(
            f"| {row.mode} | {row.plane} | {row.workers} | {WORDS[row.fault]} | {row.sent} | "
            f"{row.failed} | {row.seconds:.0f} |\n"
        )
