"""Injectors of faults. An injector returns when the fault is over and the graph can recover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from signal import SIGKILL, SIGSTOP

from benchmarks.chaos.daemon import RESTART_SECONDS
from benchmarks.chaos.graph import (
    BAD_DEADLINE_SECONDS,
    EXTRA,
    GPU,
    REPLICAS,
    ROLLED,
    WORKERS,
    component_of,
)
from benchmarks.chaos.stage import Stage, until
from ecs_dynamo.demo.traffic import Traffic
from ecs_dynamo.local.state.entities import Instance, Task
from ecs_dynamo.local.wire.faults import FaultKind

Injector = Callable[[Stage, Random], Awaitable[None]]
"""A function that injects a fault and chooses its victim and timing with the random generator."""

OUTAGE_SECONDS = 20.0
WRONG_SECONDS = 8.0
MAX_ROLLOUT_DELAY = 6.0
"""A fault during a rollout begins at most this many seconds after its first write."""
EXTRA_LOAD_SECONDS = 8
BURST_CLIENTS = 16


async def during_rollout(stage: Stage, rng: Random, among: tuple[str, ...] = ROLLED) -> str:
    """Begin a rollout and wait for a random moment of it. Return the component's name."""
    component = rng.choice(among)
    since = time.monotonic()
    stage.start_rollout(component)
    await stage.wait_for_rollout(since)
    await asyncio.sleep(rng.uniform(0.0, MAX_ROLLOUT_DELAY))
    stage.fault_began = time.monotonic()
    return component


async def plain_rollout(stage: Stage, rng: Random) -> None:
    """Start a rollout without any fault."""
    stage.start_rollout(rng.choice(ROLLED))
    stage.fault_began = time.monotonic()


async def kill(stage: Stage, rng: Random) -> None:
    """Kill the daemon and start a new one."""
    await during_rollout(stage, rng)
    await stage.daemon.kill()
    await asyncio.sleep(RESTART_SECONDS)
    await stage.daemon.start()


async def stop(stage: Stage, rng: Random) -> None:
    """Stop the daemon and start a new one."""
    await during_rollout(stage, rng)
    await stage.stop_daemon()
    await asyncio.sleep(RESTART_SECONDS)
    await stage.daemon.start()


async def clock_jump(stage: Stage, rng: Random) -> None:
    """Set the daemon's clock an hour ahead for a few seconds."""
    await during_rollout(stage, rng)
    await asyncio.to_thread(stage.clock.write_text, "3600")
    await asyncio.sleep(WRONG_SECONDS)
    await asyncio.to_thread(stage.clock.write_text, "0")


def outage(kind: FaultKind) -> Injector:
    """Let every call of ECS's API fail."""

    async def inject(stage: Stage, rng: Random) -> None:
        await during_rollout(stage, rng)
        await stage.inject_api_fault("*", kind, lasts=OUTAGE_SECONDS, seconds=OUTAGE_SECONDS)
        await asyncio.sleep(OUTAGE_SECONDS)

    return inject


def wrong_answers(operation: str, kind: FaultKind) -> Injector:
    """Let ``operation`` give wrong answers with HTTP 200, from before or within a rollout on."""

    async def inject(stage: Stage, rng: Random) -> None:
        if rng.random() < 0.5:
            await stage.inject_api_fault(operation, kind, lasts=WRONG_SECONDS)
            began = stage.fault_began
            await asyncio.sleep(rng.uniform(0.0, 2.0))
            stage.start_rollout(rng.choice(ROLLED))
            stage.fault_began = began
        else:
            await during_rollout(stage, rng)
            await stage.inject_api_fault(operation, kind, lasts=WRONG_SECONDS)
        await asyncio.sleep(max(0.0, stage.fault_began + WRONG_SECONDS - time.monotonic()))

    return inject


def lose_answers(operation: str) -> Injector:
    """Let ``operation`` take effect and break the connection before the answer."""

    async def inject(stage: Stage, rng: Random) -> None:
        await stage.inject_api_fault(
            operation, FaultKind.TIMEOUT_AFTER_EFFECT, count=2, seconds=1.0
        )
        since = time.monotonic()
        if operation != "CreateService":
            stage.start_rollout(rng.choice(ROLLED))
            await stage.wait_for_write(since, operation)
            return
        stage.edit(
            lambda d: d["components"].append(
                {**component_of(d, "frontend"), "name": EXTRA, "replicas": 1}
            )
        )
        await stage.wait_for_write(since, operation)
        await until("the new component serves", lambda: _ready(stage, EXTRA) == 1, 60)
        stage.edit(lambda d: d["components"].remove(component_of(d, EXTRA)))
        await until(
            "the new component is gone", lambda: not stage.watch.tasks(EXTRA, alive=True), 60
        )

    return inject


def _ready(stage: Stage, component: str) -> int:
    return sum(stage.watch.ready(t) for t in stage.watch.tasks(component))


def _victim(stage: Stage, rng: Random, component: str) -> Task:
    return rng.choice([t for t in stage.watch.tasks(component) if stage.watch.ready(t)])


def kill_replica(component: str) -> Injector:
    """Kill a ready replica."""

    async def inject(stage: Stage, rng: Random) -> None:
        await stage.signal(_victim(stage, rng, component), SIGKILL)

    return inject


def freeze_replica(component: str) -> Injector:
    """Freeze the processes of a ready replica permanently."""

    async def inject(stage: Stage, rng: Random) -> None:
        await stage.signal(_victim(stage, rng, component), SIGSTOP)

    return inject


async def kill_servers(stage: Stage, rng: Random) -> None:
    """Kill etcd and NATS."""
    for name in ("etcd", "nats"):
        await stage.signal(_victim(stage, rng, name), SIGKILL)


def bad_revision(command: str) -> Injector:
    """Declare a revision that cannot serve; once it is withdrawn, declare the good one again."""

    async def inject(stage: Stage, rng: Random) -> None:
        component = rng.choice(WORKERS)
        good = {s.name for s in stage.services(component)}
        mark = stage.mark_of(component)

        def bad_tasks() -> list[Task]:
            return [t for t in stage.watch.tasks(component, alive=True) if t.service not in good]

        rollout = {"progressDeadlineSeconds": BAD_DEADLINE_SECONDS}
        since = time.monotonic()
        stage.start_rollout(component, command=[command], rollout=rollout)
        stage.fault_began = since
        await stage.wait_for_rollout(since)
        await until("the bad generation runs", lambda: bad_tasks() != [], 60)

        def is_withdrawn() -> bool:
            others = [s for s in stage.services(component) if s.name not in good]
            return bad_tasks() == [] and all(s.desired == 0 for s in others)

        await until("the bad generation is withdrawn", is_withdrawn, 90)
        stage.revert(component, mark, "command", "rollout")

    return inject


async def slow_revision(stage: Stage, rng: Random) -> None:
    """Declare a good revision that takes longer to load."""
    component = rng.choice(WORKERS)
    command = f"sleep {EXTRA_LOAD_SECONDS}; {stage.files.command_of(component)}"
    stage.start_rollout(component, command=[command])
    stage.fault_began = time.monotonic()


def _hosts(stage: Stage) -> list[Instance]:
    """Return the instances on which a worker is ready."""
    serving = [t for name in WORKERS for t in stage.watch.tasks(name) if stage.watch.ready(t)]
    return [t.instance for t in serving if t.instance is not None]


async def gpu_shortage(stage: Stage, rng: Random) -> None:
    """During a rollout, terminate every instance without a ready worker.

    With as many GPUs as replicas, the rollout can only replace one replica at a time.
    """
    serving = {i.arn for i in _hosts(stage)}
    component = await during_rollout(stage, rng, WORKERS)
    for instance in stage.instances():
        if instance.arn not in serving:
            await stage.lose_instance(instance)
    mark = stage.mark_of(component)

    def is_complete() -> bool:
        tasks = stage.watch.tasks(component, alive=True)
        new = [t for t in tasks if stage.watch.ready(t) and stage.mark_of_task(t) == mark]
        return len(new) == len(tasks) == REPLICAS[component]

    await until("the rollout has replaced one replica at a time", is_complete, 220)


async def lose_instance(stage: Stage, rng: Random) -> None:
    """Terminate an instance without notice; its Auto Scaling group launches another one."""
    await stage.lose_instance(rng.choice(_hosts(stage)))
    await stage.local.add_instance(GPU)


async def forget_instance(stage: Stage, rng: Random) -> None:
    """Let EC2 forget an instance that ECS still lists; later its tasks end and ECS removes it."""
    hosts = _hosts(stage)
    await during_rollout(stage, rng)
    instance = rng.choice([i for i in hosts if i in stage.instances()])
    stage.local.lose_host(instance.arn)
    await asyncio.sleep(WRONG_SECONDS)
    began = stage.fault_began
    for task in stage.local.state.tasks_on_instance(instance):
        await stage.signal(task, SIGKILL)
    stage.fault_began = began
    await stage.aws(
        *("ecs", "DeregisterContainerInstance"),
        cluster=GPU,
        containerInstance=instance.arn,
        force=True,
    )
    await stage.local.add_instance(GPU)


async def drain(stage: Stage, rng: Random) -> None:
    """Drain an instance, as an operator or an Auto Scaling group that scales in does."""
    instance = rng.choice(_hosts(stage))
    stage.fault_began = time.monotonic()
    await stage.aws(
        *("ecs", "UpdateContainerInstancesState"),
        cluster=GPU,
        containerInstances=[instance.arn],
        status="DRAINING",
    )
    await _wait_until_empty(stage, instance)


async def spot_notice(stage: Stage, rng: Random) -> None:
    """Announce a spot interruption; terminate the instance when its tasks have left."""
    instance = rng.choice(_hosts(stage))
    stage.fault_began = time.monotonic()
    stage.local.warn_of_interruption(instance.arn)
    await _wait_until_empty(stage, instance)
    await stage.local.remove_instance(instance.arn)


async def _wait_until_empty(stage: Stage, instance: Instance) -> None:
    await until(
        "the tasks have left the instance",
        lambda: not stage.local.state.tasks_on_instance(instance),
        110,
    )


async def scale(stage: Stage, rng: Random) -> None:
    """Send more load than two prefill workers are meant to serve, until prefill has grown."""
    stage.fault_began = time.monotonic()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    async with Traffic(stage.watch.rotation, "tiny") as traffic:
        async with traffic.background("burst", BURST_CLIENTS, words=150, tokens=4):
            more = REPLICAS["prefill"] + 1
            await until("prefill has grown", lambda: _ready(stage, "prefill") >= more, 60)
        stage.add_outcomes(traffic.done)
