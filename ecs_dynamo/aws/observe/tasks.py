"""Tasks, from lists that may omit some of them.

ListTasks is eventually consistent, and an answer without tasks looks like a service without
replicas. So the tasks of the last pass are described by name whether they are listed or not, and
the result is compared with the service's own counts. If both still differ when they are read again,
the tasks are unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import (
    epoch,
    to_service,
)
from ecs_dynamo.aws.observe.sightings import Sightings
from ecs_dynamo.aws.pages import batches, read_all
from ecs_dynamo.model.generations import SUFFIX_START
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Observed,
    Unknown,
)

TASKS_PER_CALL = 100
"""Tasks in one DescribeTasks (ECS API reference)."""
LAG_SECONDS = 60.0
"""After a task stopped, its service may still count it for this long."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunningTasks:
    """Tasks that are to run, and by task group the number of those that end or have just ended.

    ``finishing`` counts only those that have not ended yet.
    """

    tasks: list[Json] = field(default_factory=list)
    ending: Mapping[str, int] = field(default_factory=dict)
    finishing: Mapping[str, int] = field(default_factory=dict)


async def describe_tasks(aws: Aws, cluster: str, arns: Sequence[str]) -> list[Json]:
    """Return the tasks that ECS still knows. Raises `AwsError`."""
    tasks: list[Json] = []
    for batch in batches(arns, TASKS_PER_CALL):
        answer = await aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=batch)
        tasks += answer["tasks"]
    return tasks


async def list_tasks(aws: Aws, cluster: str, status: str, **more: Any) -> list[str]:
    """Return the ARNs of the tasks whose desired status is ``status``. Raises `AwsError`."""
    return await read_all(
        *(aws, "ecs", "ListTasks", "taskArns"),
        cluster=cluster,
        desiredStatus=status,
        maxResults=100,
        **more,
    )


def _is_ending(task: Json, now: float) -> bool:
    """Whether the task is to stop, and its service may still count it."""
    stopped = epoch(task.get("stoppedAt"))
    return task["desiredStatus"] == "STOPPED" and (
        task["lastStatus"] != "STOPPED" or (stopped is not None and now - stopped < LAG_SECONDS)
    )


def _partition(tasks: Sequence[Json], now: float) -> tuple[list[Json], list[Json]]:
    """Return the tasks that are to run, and those that end."""
    running = [t for t in tasks if t["desiredStatus"] != "STOPPED"]
    return running, [t for t in tasks if _is_ending(t, now)]


async def fetch_tasks(aws: Aws, cluster: str, sightings: Sightings, now: float) -> RunningTasks:
    """Return the cluster's tasks, from its list and from the last pass. Raises `AwsError`."""
    listed = await list_tasks(aws, cluster, "RUNNING")
    arns = sorted({*listed, *sightings.remembered("tasks", cluster)})
    running, ending = _partition(await describe_tasks(aws, cluster, arns), now)
    sightings.remember((t["taskArn"] for t in (*running, *ending)), "tasks", cluster)
    finishing = (t for t in ending if t["lastStatus"] != "STOPPED")
    return RunningTasks(
        running,
        Counter(t.get("group", "") for t in ending),
        Counter(t.get("group", "") for t in finishing),
    )


def _counts_more(service: Service, tasks: Sequence[Json], ending: int) -> bool:
    """Whether the service counts more tasks than were found."""
    return service.running + service.pending > len(tasks) + ending


async def match_with_service(
    aws: Aws, service: Service, group: str, observed: RunningTasks, sightings: Sightings, now: float
) -> tuple[Service, Observed[list[Json]]]:
    """Return the service and its tasks; the tasks are unknown if they differ from its counts.

    A service that counts fewer tasks than are listed only lags behind: each listed task was
    described. Raises `AwsError`.
    """
    own = [t for t in observed.tasks if t.get("group") == group]
    if not _counts_more(service, own, observed.ending.get(group, 0)):
        return service, own
    # Tasks may have started or ended between the two reads: the service is read first here.
    cluster, name = service.cluster, service.name
    answer = await aws.call(
        "ecs", "DescribeServices", cluster=cluster, services=[name], include=["TAGS"]
    )
    again = next((to_service(raw, cluster) for raw in answer["services"]), service)
    listed = await list_tasks(aws, cluster, "RUNNING", serviceName=name)
    stopped = await list_tasks(aws, cluster, "STOPPED", serviceName=name)
    arns = sorted({*listed, *stopped, *(t["taskArn"] for t in own)})
    running, ending = _partition(await describe_tasks(aws, cluster, arns), now)
    sightings.remember(
        {*sightings.remembered("tasks", cluster), *(t["taskArn"] for t in (*running, *ending))},
        *("tasks", cluster),
    )
    if _counts_more(again, running, len(ending)):
        return again, Unknown(
            f"service {name} counts {again.running} running and {again.pending} pending tasks, "
            f"and ECS lists {len(running)}"
        )
    return again, running


def count_finishing(graph: Graph, running: Observed[RunningTasks], component: Component) -> int:
    """Return the tasks of a component that have not ended; also of generations that just ended."""
    if isinstance(running, Unknown):
        return 0
    own = f"service:{component.service}"
    known = running.finishing.get(own, 0)
    if component.generation is None or component.declared_name:
        return known
    others = {f"service:{c.service}" for c in graph.components} - {own}
    prefix = f"service:{component.family}-{SUFFIX_START}"
    ended = (
        n
        for group, n in running.finishing.items()
        if group.startswith(prefix) and group != own and group not in others
    )
    return known + sum(ended)
