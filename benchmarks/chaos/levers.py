"""How each fault is made. A lever returns when nothing more is wrong: from then on the graph has
to become what is declared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from signal import SIGKILL, SIGSTOP

from benchmarks.chaos.graph import (
    BAD_DEADLINE_SECONDS,
    EXTRA,
    GPU,
    REPLICAS,
    ROLLED,
    WORKERS,
    component_of,
    service_of,
)
from benchmarks.chaos.stage import Stage, until
from ecs_dynamo.demo.traffic import Traffic
from ecs_dynamo.local.state.entities import Instance, Task

Lever = Callable[[Stage, Random], Awaitable[None]]

OUTAGE_SECONDS = 20.0
WRONG_SECONDS = 8.0
RESTART_SECONDS = 3.0
"""After which the daemon's own ECS service has another one running."""
LATEST = 6.0
"""A fault amid a rollout comes at most so many seconds after the rollout's UpdateService."""
SLOWER = 8
BURST = 16


async def amid_rollout(stage: Stage, rng: Random, among: tuple[str, ...] = ROLLED) -> str:
    """Begin a rollout and wait until a moment in it; the component's name."""
    component = rng.choice(among)
    since = time.monotonic()
    stage.roll(component)
    await stage.heard_write("UpdateService", since)
    await asyncio.sleep(rng.uniform(0.0, LATEST))
    stage.hit = time.monotonic()
    return component


async def plain_rollout(stage: Stage, rng: Random) -> None:
    """Nothing goes wrong."""
    stage.roll(rng.choice(ROLLED))
    stage.hit = time.monotonic()


async def kill(stage: Stage, rng: Random) -> None:
    """The daemon dies."""
    await amid_rollout(stage, rng)
    await stage.kill_daemon()
    await asyncio.sleep(RESTART_SECONDS)
    await stage.start_daemon()


async def stop(stage: Stage, rng: Random) -> None:
    """The daemon is told to end."""
    await amid_rollout(stage, rng)
    await stage.stop_daemon()
    await asyncio.sleep(RESTART_SECONDS)
    await stage.start_daemon()


async def clock_jump(stage: Stage, rng: Random) -> None:
    """The daemon's clock is an hour ahead for some seconds."""
    await amid_rollout(stage, rng)
    await asyncio.to_thread(stage.clock.write_text, "3600")
    await asyncio.sleep(WRONG_SECONDS)
    await asyncio.to_thread(stage.clock.write_text, "0")


def outage(kind: str) -> Lever:
    """No call of ECS's API succeeds."""

    async def lever(stage: Stage, rng: Random) -> None:
        await amid_rollout(stage, rng)
        await stage.misbehave("*", kind, lasts=OUTAGE_SECONDS, seconds=OUTAGE_SECONDS)
        await asyncio.sleep(OUTAGE_SECONDS)

    return lever


def wrong_answers(operation: str, kind: str) -> Lever:
    """``operation`` answers with HTTP 200 and what is not so; before or after the rollout began."""

    async def lever(stage: Stage, rng: Random) -> None:
        if rng.random() < 0.5:
            await stage.misbehave(operation, kind, lasts=WRONG_SECONDS)
            hit = stage.hit
            await asyncio.sleep(rng.uniform(0.0, 2.0))
            stage.roll(rng.choice(ROLLED))
            stage.hit = hit
        else:
            await amid_rollout(stage, rng)
            await stage.misbehave(operation, kind, lasts=WRONG_SECONDS)
        await asyncio.sleep(max(0.0, stage.hit + WRONG_SECONDS - time.monotonic()))

    return lever


def unheard(operation: str) -> Lever:
    """``operation`` takes effect, and the connection breaks before the answer."""

    async def lever(stage: Stage, rng: Random) -> None:
        await stage.misbehave(operation, "timeout-after-effect", count=2, seconds=1.0)
        since = time.monotonic()
        if operation != "CreateService":
            stage.roll(rng.choice(ROLLED))
            await stage.heard_write(operation, since)
            return
        stage.edit(
            lambda d: d["components"].append(
                {**component_of(d, "decode"), "name": EXTRA, "replicas": 1}
            )
        )
        await stage.heard_write(operation, since)
        await until("the new component serves", lambda: _ready(stage, EXTRA) == 1, 60)
        stage.edit(lambda d: d["components"].remove(component_of(d, EXTRA)))
        await until("it is gone", lambda: not stage.watch.tasks(EXTRA, alive=True), 60)

    return lever


def _ready(stage: Stage, component: str) -> int:
    return sum(stage.watch.ready(t) for t in stage.watch.tasks(component))


def _victim(stage: Stage, rng: Random, component: str) -> Task:
    return rng.choice([t for t in stage.watch.tasks(component) if stage.watch.ready(t)])


def kill_one(component: str) -> Lever:
    """A replica dies."""

    async def lever(stage: Stage, rng: Random) -> None:
        await stage.signal(_victim(stage, rng, component), SIGKILL)

    return lever


def hang(component: str) -> Lever:
    """A replica's processes are frozen for good."""

    async def lever(stage: Stage, rng: Random) -> None:
        await stage.signal(_victim(stage, rng, component), SIGSTOP)

    return lever


async def kill_servers(stage: Stage, rng: Random) -> None:
    """etcd and NATS die."""
    for name in ("etcd", "nats"):
        await stage.signal(_victim(stage, rng, name), SIGKILL)


def bad_revision(command: str) -> Lever:
    """A revision that cannot serve, until it is taken back; then the good one is declared."""

    async def lever(stage: Stage, rng: Random) -> None:
        component = rng.choice(WORKERS)
        service = stage.local.state.services[GPU, service_of(component)]
        good, mark = service.primary.definition, stage.mark_of(component)
        rollout = {"progressDeadlineSeconds": BAD_DEADLINE_SECONDS}
        since = time.monotonic()
        stage.roll(component, command=[command], rollout=rollout)
        stage.hit = since
        await stage.heard_write("UpdateService", since)
        await until("it runs", lambda: service.primary.definition is not good, 30)
        await until("it is taken back", lambda: service.primary.definition is good, 90)
        stage.undo(component, mark, "command", "rollout")

    return lever


async def slow_revision(stage: Stage, rng: Random) -> None:
    """A good revision that loads for long."""
    component = rng.choice(WORKERS)
    command = f"sleep {SLOWER}; {stage.files.command_of(component)}"
    stage.roll(component, command=[command])
    stage.hit = time.monotonic()


def _hosts(stage: Stage) -> list[Instance]:
    """Instances on which a worker is ready."""
    serving = [t for name in WORKERS for t in stage.watch.tasks(name) if stage.watch.ready(t)]
    return [t.instance for t in serving if t.instance is not None]


async def gpu_shortage(stage: Stage, rng: Random) -> None:
    """Only as many GPUs as there are replicas, from a moment of a rollout on, and until it is over:
    replicas can be replaced one at a time alone."""
    serving = {i.arn for i in _hosts(stage)}
    component = await amid_rollout(stage, rng, WORKERS)
    for instance in stage.instances():
        if instance.arn not in serving:
            await stage.lose_instance(instance)
    mark = stage.mark_of(component)

    def rolled() -> bool:
        tasks = stage.watch.tasks(component, alive=True)
        new = [t for t in tasks if stage.watch.ready(t) and stage.mark_of_task(t) == mark]
        return len(new) == len(tasks) == REPLICAS[component]

    await until("it has rolled one at a time", rolled, 220)


async def lose_instance(stage: Stage, rng: Random) -> None:
    """An instance is terminated without notice; its group brings another one."""
    await stage.lose_instance(rng.choice(_hosts(stage)))
    await stage.local.add_instance(GPU)


async def forget_instance(stage: Stage, rng: Random) -> None:
    """ECS lists an instance that EC2 knows no more; its tasks serve on until it is gone."""
    hosts = _hosts(stage)
    await amid_rollout(stage, rng)
    instance = rng.choice([i for i in hosts if i in stage.instances()])
    stage.local.lose_host(instance.arn)
    await asyncio.sleep(WRONG_SECONDS)
    hit = stage.hit
    for task in stage.local.state.tasks_on_instance(instance):
        await stage.signal(task, SIGKILL)
    stage.hit = hit
    await stage.aws(
        *("ecs", "DeregisterContainerInstance"),
        cluster=GPU,
        containerInstance=instance.arn,
        force=True,
    )
    await stage.local.add_instance(GPU)


async def drain(stage: Stage, rng: Random) -> None:
    """An operator, or a group that scales in, drains an instance."""
    instance = rng.choice(_hosts(stage))
    stage.hit = time.monotonic()
    await stage.aws(
        *("ecs", "UpdateContainerInstancesState"),
        cluster=GPU,
        containerInstances=[instance.arn],
        status="DRAINING",
    )
    await _left(stage, instance)


async def spot_notice(stage: Stage, rng: Random) -> None:
    """The two minutes before an interruption."""
    instance = rng.choice(_hosts(stage))
    stage.hit = time.monotonic()
    stage.local.warn_of_interruption(instance.arn)
    await _left(stage, instance)
    await stage.local.remove_instance(instance.arn)


async def _left(stage: Stage, instance: Instance) -> None:
    await until(
        "the tasks have left the instance",
        lambda: not stage.local.state.tasks_on_instance(instance),
        110,
    )


async def scale(stage: Stage, rng: Random) -> None:
    """More load than two prefill workers are to bear."""
    stage.hit = time.monotonic()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    async with Traffic(stage.watch.rotation, "tiny") as traffic:
        async with traffic.background("burst", BURST, words=150, tokens=4):
            more = REPLICAS["prefill"] + 1
            await until("prefill has grown", lambda: _ready(stage, "prefill") >= more, 60)
        stage.more_outcomes(traffic.done)
