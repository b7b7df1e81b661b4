"""Tasks, from lists that may lack some of them.

ListTasks is eventually consistent, and an answer without tasks looks like a service without
replicas. So the tasks of the last look are described by name whether they are listed or not, and
what is found is compared with what the service itself counts. What does not agree after a second
look is a contradiction, and unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import (
    epoch,
    to_service,
)
from ecs_dynamo.aws.observe.sightings import Sightings
from ecs_dynamo.aws.pages import read_all
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Observed,
    Unknown,
)

TASKS_PER_CALL = 100
"""Tasks in one DescribeTasks (ECS API reference)."""
LAG_SECONDS = 60.0
"""For so long after a task stopped its service may still count it."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunningTasks:
    """``tasks`` are to run; ``ending`` counts, by task group, those that end or have just ended."""

    tasks: list[Json] = field(default_factory=list)
    ending: Mapping[str, int] = field(default_factory=dict)


async def describe_tasks(aws: Aws, cluster: str, arns: Sequence[str]) -> list[Json]:
    """The tasks that ECS still knows. Raises `AwsError`."""
    found: list[Json] = []
    for start in range(0, len(arns), TASKS_PER_CALL):
        batch = list(arns[start : start + TASKS_PER_CALL])
        answer = await aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=batch)
        found += answer["tasks"]
    return found


async def list_tasks(aws: Aws, cluster: str, status: str, **more: Any) -> list[str]:
    """ARNs of the tasks whose desired status is ``status``. Raises `AwsError`."""
    return await read_all(
        *(aws, "ecs", "ListTasks", "taskArns"),
        cluster=cluster,
        desiredStatus=status,
        maxResults=100,
        **more,
    )


def _ends(task: Json, now: float) -> bool:
    """It is to stop, and its service may still count it."""
    stopped = epoch(task.get("stoppedAt"))
    return task["desiredStatus"] == "STOPPED" and (
        task["lastStatus"] != "STOPPED" or (stopped is not None and now - stopped < LAG_SECONDS)
    )


def _sorted_out(tasks: Iterable[Json], now: float) -> tuple[list[Json], list[Json]]:
    """Tasks that are to run, and those that end."""
    found = list(tasks)
    return [t for t in found if t["desiredStatus"] != "STOPPED"], [
        t for t in found if _ends(t, now)
    ]


async def fetch_tasks(aws: Aws, cluster: str, sightings: Sightings, now: float) -> RunningTasks:
    """The cluster's tasks, as the list and the last look name them. Raises `AwsError`."""
    listed = await list_tasks(aws, cluster, "RUNNING")
    arns = sorted({*listed, *sightings.remembered("tasks", cluster)})
    wanted, ending = _sorted_out(await describe_tasks(aws, cluster, arns), now)
    sightings.remember((t["taskArn"] for t in (*wanted, *ending)), "tasks", cluster)
    return RunningTasks(wanted, Counter(t.get("group", "") for t in ending))


def _counts_more(service: Service, tasks: Sequence[Json], ending: int) -> bool:
    return service.running + service.pending > len(tasks) + ending


async def agreed(
    aws: Aws, service: Service, group: str, found: RunningTasks, sightings: Sightings, now: float
) -> tuple[Service, Observed[list[Json]]]:
    """The service and its tasks, once both agree; the tasks are unknown where they do not.

    A service that counts fewer than are listed only lags behind: each listed task was described.
    Raises `AwsError`.
    """
    own = [t for t in found.tasks if t.get("group") == group]
    if not _counts_more(service, own, found.ending.get(group, 0)):
        return service, own
    # Tasks may have started or ended between the two looks: the service first, then its tasks.
    cluster, name = service.cluster, service.name
    answer = await aws.call(
        "ecs", "DescribeServices", cluster=cluster, services=[name], include=["TAGS"]
    )
    again = next((to_service(raw, cluster) for raw in answer["services"]), service)
    listed = await list_tasks(aws, cluster, "RUNNING", serviceName=name)
    stopped = await list_tasks(aws, cluster, "STOPPED", serviceName=name)
    arns = sorted({*listed, *stopped, *(t["taskArn"] for t in own)})
    wanted, ending = _sorted_out(await describe_tasks(aws, cluster, arns), now)
    sightings.remember(
        {*sightings.remembered("tasks", cluster), *(t["taskArn"] for t in (*wanted, *ending))},
        *("tasks", cluster),
    )
    if _counts_more(again, wanted, len(ending)):
        return again, Unknown(
            f"service {name} counts {again.running} running and {again.pending} pending tasks, "
            f"and ECS lists {len(wanted)}"
        )
    return again, wanted
