"""Set-up of the campaign's stage, and its logs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.chaos.graph import FARGATE, GPU, LEASE_SECONDS, ROLLED, GraphFiles
from benchmarks.chaos.stage import FOREIGN, INSTANCES, REGION, Stage, until, wait_until_settled
from ecs_dynamo.config import load_graph
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.local.wire.protocol import ACCOUNT

QUEUE = "ecs-dynamo"


async def set_up(stage: Stage) -> None:
    """Create the clusters, instances, foreign service and event queue; start the daemon."""
    for cluster in (FARGATE, GPU):
        stage.local.create_cluster(cluster)
    for _ in range(INSTANCES):
        await stage.local.add_instance(GPU)
    await _add_foreign_service(stage)
    for name in ROLLED:
        stage.start_rollout(name)
    stage.daemon.environ = {
        "ECS_DYNAMO_ENDPOINT_URL": stage.local.endpoint_url,
        "ECS_DYNAMO_REGION": REGION,
        "ECS_DYNAMO_SIGNAL_SECONDS": "1",
        "ECS_DYNAMO_OBSERVE_TIMEOUT_SECONDS": "5",
        "PYTHONPATH": str(Path(__file__).parent / "clock"),
        "CHAOS_CLOCK": str(stage.clock),
        "ECS_DYNAMO_EVENT_QUEUE_URL": await _create_event_queue(stage),
    }
    await stage.daemon.start()


async def _add_foreign_service(stage: Stage) -> None:
    document = json.loads((stage.files.folder / "taskdefs" / "nats.json").read_text())
    text = json.dumps({**document, "family": FOREIGN}).replace("AWS_REGION", REGION)
    await stage.aws("ecs", "RegisterTaskDefinition", **json.loads(text.replace("AWS_ID", ACCOUNT)))
    await stage.aws(
        *("ecs", "CreateService"),
        cluster=FARGATE,
        serviceName=FOREIGN,
        taskDefinition=FOREIGN,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": ["subnet-a"], "securityGroups": ["sg-a"]}
        },
    )
    service = stage.local.state.services[FARGATE, FOREIGN]
    await until(
        "the foreign task runs",
        lambda: any(t.last_status == "RUNNING" for t in stage.local.state.service_tasks(service)),
    )
    stage.record_foreign_state()


async def _create_event_queue(stage: Stage) -> str:
    """Create the queue and the two rules of docs/operations.md. Return the queue's URL."""
    graph = load_graph(stage.files.file, dict(os.environ)).graph
    documents = render_iam(graph, REGION, ACCOUNT, None, QUEUE)
    queue = await stage.aws(
        *("sqs", "CreateQueue"),
        QueueName=QUEUE,
        Attributes=documents["events-queue-attributes.json"],
    )
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"
    for rule in ("events", "notices"):
        name, pattern = f"ecs-dynamo-{rule}", json.dumps(documents[f"{rule}-rule-pattern.json"])
        await stage.aws("events", "PutRule", Name=name, EventPattern=pattern)
        await stage.aws("events", "PutTargets", Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return str(queue["QueueUrl"])


@asynccontextmanager
async def open_stage(
    example: Path,
    folder: Path,
    on_local: Callable[[LocalEcs, GraphFiles], None] = lambda _local, _files: None,
    lease_seconds: int = LEASE_SECONDS,
) -> AsyncIterator[Stage]:
    """Open a stage whose graph is as declared.

    ``folder`` must be empty. ``on_local`` is called with the local ECS before its first use.
    """
    async with AsyncExitStack() as stack:
        table = ImageTable.load(example / "images.yaml")
        local = await stack.enter_async_context(LocalEcs(images=table, directory=folder / "ecs"))
        files = GraphFiles(example, folder / "graph", lease_seconds)
        on_local(local, files)
        stage = Stage(local, files, folder)
        stack.push_async_callback(stage.stop_daemon)
        await set_up(stage)
        watching = asyncio.create_task(stage.watch.run())
        stack.callback(watching.cancel)
        await wait_until_settled(stage, 120.0)
        yield stage


def keep_logs(folder: Path, target: Path) -> None:
    """Copy all logs under ``folder`` to ``target``."""
    for log in folder.rglob("*.log"):
        copy = target / log.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, copy)
