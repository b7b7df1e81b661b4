"""The steps of the demonstration in order, each with its duration and its failed requests.

Only the cloud is simulated: the local ECS runs etcd, NATS and Dynamo (with its mock engine) as
processes, and the daemon is `ecs-dynamo run`, configured with the endpoint URL of the local ECS.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ecs_dynamo.aws.execute.stop_task import request_stop
from ecs_dynamo.common.cancellation import cancel_on_signals
from ecs_dynamo.config import load_graph, load_settings
from ecs_dynamo.console import (
    print_table,
    say,
)
from ecs_dynamo.controller import open_reconciler
from ecs_dynamo.demo.daemon import DemoDaemon, component, desired, ready
from ecs_dynamo.demo.example import (
    build_model,
    example_directory,
    is_shipped,
    unpack_example,
)
from ecs_dynamo.demo.timeline import Sample, Step, Timeline
from ecs_dynamo.demo.traffic import Traffic
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem

GPU_INSTANCES = 6
MODEL = "tiny"
LOAD_CLIENTS = 48


@dataclass(slots=True)
class Stage:
    """The running processes and measurements that every step uses."""

    local: LocalEcs
    daemon: DemoDaemon
    traffic: Traffic
    timeline: Timeline
    graph_file: Path
    environ: dict[str, str]

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Step]:
        """Time a step and count its requests. An error marks it as failed and ends the run."""
        step = Step(name, time.monotonic())
        self.timeline.steps.append(step)
        say(f"[{step.started - self.timeline.started:6.1f} s] {name} ...", style="bold")
        try:
            yield step
        except (EcsDynamoError, AssertionError) as error:
            step.ok, step.detail = False, str(error)
            raise
        finally:
            step.seconds = time.monotonic() - step.started
            step.sent, step.failed = self.traffic.since(step.started)
            style = "green" if step.ok else "red"
            say(f"           {step.seconds:5.1f} s  {step.detail}", style=style)

    async def stop_task(self, cluster: str, task: str) -> None:
        """Stop a task in ECS, independently of the daemon."""
        settings = load_settings(self.environ)
        graph = load_graph(self.graph_file, self.environ).graph
        async with open_reconciler(graph, settings) as reconciler:
            await request_stop(reconciler.aws, cluster, task, "demo")

    def frontends(self) -> list[str]:
        """Return the URLs of the frontends that are ready in the daemon's status.

        The newest comes first, since ECS stops the oldest first.
        """
        tasks = component(self.daemon.status, "frontend").get("tasks", ())
        ready_tasks = [t for t in tasks if t["ready"] and t["privateIp"]]
        ready_tasks.sort(key=lambda t: t["startedAt"] or "", reverse=True)
        return [f"http://{t['privateIp']}:8000" for t in ready_tasks]

    async def sample(self) -> None:
        """Sample the status twice per second until cancelled."""
        while True:
            with suppress(OSError, KeyError, IndexError):
                status = await self.daemon.fetch_status()
                depth = [
                    s["value"]
                    for s in status.get("signals", ())
                    if s["component"] == "prefill" and s["kind"] == "queue_depth"
                ]
                self.timeline.samples.append(
                    Sample(
                        time.monotonic(),
                        max(depth, default=0.0),
                        desired(status, "prefill"),
                        ready(status, "prefill"),
                    )
                )
            await asyncio.sleep(0.5)


def require(condition: object, message: str) -> None:
    """Fail the step with ``message`` unless ``condition`` is true."""
    if not condition:
        raise EcsDynamoError(message)


async def cold_start(stage: Stage) -> None:
    """Start the daemon on an empty cluster and wait until the graph has converged."""
    async with stage.step("cold start: etcd, NATS, frontend, prefill, decode") as step:
        await stage.daemon.start()
        say(f"           daemon: {stage.daemon.url}", style="dim")
        status = await stage.daemon.until("converged", lambda s: bool(s.get("converged")), 90)
        ends = status["endpoints"]
        step.detail = f"etcd {ends['etcd']}, nats {ends['nats']} injected; all replicas ready"


async def completions(stage: Stage) -> None:
    """Request a chat completion, once at a time and once streamed."""
    async with stage.step("chat completions through the graph") as step:
        plain, text = await stage.traffic.chat("Say hello.", stream=False)
        require(plain.error is None, f"completion failed: {plain.error}")
        streamed, _ = await stage.traffic.chat("Say hello again.", stream=True)
        require(streamed.error is None, f"stream failed: {streamed.error}")
        first = streamed.first_token_seconds or 0.0
        step.detail = (
            f"answer of {len(text)} characters; streamed, first token after {first * 1000:.0f} ms"
        )


async def scale_out_and_in(stage: Stage) -> None:
    """Scale prefill out under load, and back in when the load ends."""
    async with stage.step("load: the prefill queue grows, prefill scales out") as step:
        async with stage.traffic.background("load", LOAD_CLIENTS, words=220, tokens=4):
            status = await stage.daemon.until(
                "prefill scaled out", lambda s: ready(s, "prefill") >= 2, 60
            )
            reasons = [d["reason"] for d in status["decisions"] if d["component"] == "prefill"]
        _, failed = stage.traffic.since(step.started, ("load",))
        require(failed == 0, f"{failed} requests failed under load")
        step.detail = f"{ready(status, 'prefill')} prefill replicas ready; {' '.join(reasons)}"
    async with stage.step("load ends: prefill scales in") as step:
        status = await stage.daemon.until(
            "prefill scaled in",
            lambda s: desired(s, "prefill") == 1 and bool(s.get("converged")),
            75,
        )
        step.detail = "back to 1 prefill replica"


async def move_etcd(stage: Stage) -> None:
    """Stop etcd and NATS under traffic and wait until all components use the new addresses."""
    before = (await stage.daemon.fetch_status())["endpoints"]
    async with stage.step(
        "etcd and NATS killed under traffic: all components use the new address"
    ) as step:
        async with stage.traffic.background("steady", 4, words=20, tokens=4, pause=0.15):
            task = component(stage.daemon.status, "etcd-nats")["tasks"][0]
            cluster = component(stage.daemon.status, "etcd-nats")["cluster"]
            await stage.stop_task(cluster, task["arn"])
            status = await stage.daemon.until(
                "converged on the new endpoints",
                lambda s: bool(s.get("converged")) and s["endpoints"]["etcd"] != before["etcd"],
                90,
            )
        sent, failed = stage.traffic.since(step.started, ("steady",))
        failures = sorted(
            (r.started, r.error or "")
            for r in stage.traffic.done
            if r.kind == "steady" and r.error and r.started >= step.started
        )
        after = status["endpoints"]
        step.detail = f"{before['etcd']} -> {after['etcd']}; {failed} of {sent} requests failed" + (
            f" within {failures[-1][0] - failures[0][0]:.1f} s ({failures[0][1]})"
            if failures
            else ""
        )
    async with stage.step("chat completion on the new endpoints") as step:
        request, _ = await stage.traffic.chat("Still there?", stream=False)
        require(request.error is None, f"completion failed: {request.error}")
        step.detail = f"served in {request.seconds * 1000:.0f} ms"


async def nothing_to_do(stage: Stage) -> None:
    """Check that reconciling a converged graph writes nothing."""
    async with stage.step("reconcile again: nothing to do") as step:
        settings = load_settings(stage.environ)
        graph = load_graph(stage.graph_file, stage.environ).graph
        async with open_reconciler(graph, settings) as reconciler:
            outcome = await reconciler.until_converged(15.0)
            require(
                outcome.converged,
                "not converged: " + "; ".join(w.reason for w in outcome.plan.waits),
            )
            require(reconciler.aws.writes == 0, f"{reconciler.aws.writes} writes")
            step.detail = f"0 writes, {reconciler.aws.reads} reads"


async def stop_and_down(stage: Stage) -> None:
    """Stop the daemon with SIGTERM, then delete everything it created with `down`."""
    async with stage.step("SIGTERM to the daemon; down") as step:
        code, seconds = await stage.daemon.stop()
        require(code == 0, f"the daemon exited with {code}")
        settings = load_settings(stage.environ)
        graph = load_graph(stage.graph_file, stage.environ).graph
        async with open_reconciler(graph, settings) as reconciler:
            outcome = await reconciler.until_converged(60.0, taking_down=True)
        require(outcome.converged, "not down: " + "; ".join(w.reason for w in outcome.plan.waits))
        step.detail = f"daemon exited with 0 in {seconds:.1f} s; every service is gone"


STEPS: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    cold_start,
    completions,
    scale_out_and_in,
    move_etcd,
    nothing_to_do,
    stop_and_down,
)


def _summary(timeline: Timeline) -> None:
    rows = [
        (
            step.name,
            f"{step.seconds:.1f}",
            str(step.sent),
            str(step.failed),
            "ok" if step.ok else "FAILED",
            step.detail,
        )
        for step in timeline.steps
    ]
    rows.append(
        (
            "total",
            f"{time.monotonic() - timeline.started:.1f}",
            str(sum(s.sent for s in timeline.steps)),
            str(sum(s.failed for s in timeline.steps)),
            "ok" if all(s.ok for s in timeline.steps) else "FAILED",
            "",
        )
    )
    say()
    print_table("Summary", ("STEP", "SECONDS", "SENT", "FAILED", "RESULT", "DETAIL"), rows)


async def run_demo(output: Path, example: Path | None = None) -> bool:
    """Run every step and write ``timeline.png`` and logs to ``output``.

    Return whether all steps succeeded. Ctrl-C and SIGTERM end the run early; it never leaves a
    process behind.
    """
    folder = example_directory(example)
    try:
        await asyncio.to_thread(output.mkdir, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            Problem(
                f"the folder cannot be created: {error.strerror}",
                file=str(output),
                remedy="name another folder with --output",
            )
        ) from None
    if is_shipped(folder):
        folder = await asyncio.to_thread(unpack_example, output / "example")
    else:
        await asyncio.to_thread(build_model, folder)
    cancel_on_signals()
    timeline = Timeline(time.monotonic())
    graph_file = folder / "ecs-dynamo.yaml"
    succeeded = False
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecs-dynamo-")))
        local = await stack.enter_async_context(
            LocalEcs(images=ImageTable.load(folder / "images.yaml"), directory=scratch)
        )
        graph = load_graph(graph_file, dict(os.environ)).graph
        for cluster in graph.clusters:
            local.create_cluster(cluster)
        workers = graph.component("prefill").cluster
        for _ in range(GPU_INSTANCES):
            await local.add_instance(cluster=workers, gpus=1)
        environ = {
            **os.environ,
            "ECS_DYNAMO_ENDPOINT_URL": local.endpoint_url,
            "ECS_DYNAMO_REGION": "us-east-1",
            "ECS_DYNAMO_SIGNAL_SECONDS": "1",
        }
        daemon = DemoDaemon(graph_file, environ, output / "daemon.log")
        stack.push_async_callback(daemon.stop)
        traffic = Traffic(lambda: stage.frontends(), MODEL)
        stage = Stage(local, daemon, traffic, timeline, graph_file, environ)
        await stack.enter_async_context(traffic)
        sampler = asyncio.create_task(stage.sample())
        stack.callback(sampler.cancel)
        say(f"local ECS with {GPU_INSTANCES} GPU instances: {local.endpoint_url}")
        try:
            for step in STEPS:
                await step(stage)
            succeeded = True
        except EcsDynamoError as error:
            say(f"failed: {error}; logs: {output}", style="bold red")
            await asyncio.to_thread(_keep_logs, scratch, output)
    _summary(timeline)
    picture = output / "timeline.png"
    await asyncio.to_thread(timeline.draw, traffic.done, picture)
    say(f"timeline: {picture}")
    return succeeded


def _keep_logs(scratch: Path, output: Path) -> None:
    """Copy the containers' logs from the scratch folder to ``output``."""
    for log in scratch.rglob("*.log"):
        target = output / "containers" / log.relative_to(scratch)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(log.read_bytes())
