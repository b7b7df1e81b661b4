"""The single questions of one look at ECS: each raises where it cannot be answered for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import (
    epoch,
    to_service,
)
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.instances import (
    Hosts,
    describe_instances,
    with_instances_of,
)
from ecs_dynamo.aws.observe.revisions import describe_revision
from ecs_dynamo.aws.observe.tasks import (
    TASKS_PER_CALL,
    RunningTasks,
    describe_tasks,
    fetch_tasks,
    list_tasks,
)
from ecs_dynamo.aws.pages import read_all
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Observed,
    Revision,
    Unknown,
)

SERVICES_PER_CALL = 10
"""Services in one DescribeServices (ECS API reference)."""

T = TypeVar("T")
Json = dict[str, Any]


def _batches(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


class PassQueries:
    """The state of one look: what was asked already in this pass."""

    def __init__(
        self, aws: Aws, graph: Graph, now: float, cache: GraphCache, timeout: float
    ) -> None:
        self.aws = aws
        self.now = now
        self.graph = graph
        self.cache = cache
        self.timeout = timeout
        self.attached: dict[str, Sequence[str] | None] = {}
        """The names of each cluster's capacity providers; None where the answer lacks them."""
        self._stopped: dict[str, asyncio.Task[list[Json]]] = {}

    async def guard(self, what: str, look: Awaitable[T]) -> Observed[T]:
        """What ``look`` gives, or why it is not known."""
        self.aws.last_error = None
        try:
            async with asyncio.timeout(self.timeout):
                return await look
        except AwsError as error:
            return Unknown(str(error))
        except TimeoutError:
            why = f" ({self.aws.last_error})" if self.aws.last_error else ""
            return Unknown(f"{what} took longer than {self.timeout:g} s{why}")

    async def clusters(self) -> Mapping[str, Observed[bool]]:
        names, sightings = list(self.graph.clusters), self.cache.sightings
        answer = await self.aws.call("ecs", "DescribeClusters", clusters=names)
        status = {
            word: c["status"]
            for c in answer["clusters"]
            for word in (c["clusterName"], c["clusterArn"])
        }
        self.attached = {
            word: c.get("capacityProviders")
            for c in answer["clusters"]
            for word in (c["clusterName"], c["clusterArn"])
        }
        found: dict[str, Observed[bool]] = {}
        for name in names:
            found[name] = status.get(name) == "ACTIVE"
            if found[name]:
                sightings.confirm("cluster", name)
            elif name in status:
                sightings.confirm_gone("cluster", name)
            elif (doubt := sightings.doubt_absence("cluster", name)) is not None:
                found[name] = Unknown(doubt)
        return found

    async def services(self, cluster: str) -> Mapping[str, Observed[Service]]:
        """Every live service of the cluster by name: the declared and those to look for orphans."""
        declared = {c.service for c in self.graph.components if c.cluster == cluster}
        arns = await read_all(
            self.aws, "ecs", "ListServices", "serviceArns", cluster=cluster, maxResults=100
        )
        prefix = f"{self.graph.name}-"
        names = {resource_name(arn) for arn in arns}
        # Services are named after their graph, so that only names with its prefix can be orphans.
        wanted = sorted(declared | {n for n in names if n.startswith(prefix)})
        found: dict[str, Observed[Service]] = {}
        answers = await asyncio.gather(
            *(
                self.aws.call(
                    "ecs",
                    "DescribeServices",
                    cluster=cluster,
                    services=list(batch),
                    include=["TAGS"],
                )
                for batch in _batches(wanted, SERVICES_PER_CALL)
            )
        )
        for answer in answers:
            for failure in answer.get("failures", []):
                if failure.get("reason") != "MISSING":
                    raise AwsError(
                        "DescribeServices", str(failure.get("reason")), str(failure.get("arn"))
                    )
            for raw in answer["services"]:
                found[raw["serviceName"]] = to_service(raw, cluster)
        for name in declared:
            doubt = self._doubt_of(cluster, name, found.get(name), listed=name in names)
            if doubt is not None:
                found[name] = Unknown(doubt)
        return found

    def _doubt_of(
        self, cluster: str, name: str, found: Observed[Service] | None, *, listed: bool
    ) -> str | None:
        """Why it is not believed that there is no such service; None where it is, or there is."""
        sightings = self.cache.sightings
        if isinstance(found, Service):
            # ECS describes a deleted service as INACTIVE for a while, before it knows it no more.
            remember = sightings.confirm_gone if found.status == "INACTIVE" else sightings.confirm
            remember("service", cluster, name)
            return None
        if listed:
            return f"ListServices lists {name}, and DescribeServices reports that it does not exist"
        return sightings.doubt_absence("service", cluster, name)

    async def hosts(self, cluster: str) -> Hosts:
        return await describe_instances(
            self.aws, cluster, self.cache.sightings, self._sized(cluster)
        )

    async def hosts_of(self, cluster: str, found: Hosts, tasks: Sequence[Json]) -> Hosts:
        sized = self._sized(cluster)
        return await with_instances_of(self.aws, cluster, self.cache.sightings, sized, found, tasks)

    def _sized(self, cluster: str) -> bool:
        """Tags of instances are needed where Auto Scaling groups are changed."""
        return any(g.cluster == cluster for g in self.graph.capacity.auto_scaling_groups)

    async def tasks(self, cluster: str) -> RunningTasks:
        return await fetch_tasks(self.aws, cluster, self.cache.sightings, self.now)

    async def stopped(self, cluster: str) -> list[Json]:
        """The cluster's stopped tasks, read once for all of its components."""
        if cluster not in self._stopped:
            self._stopped[cluster] = asyncio.create_task(self._read_stopped(cluster))
        # One component's time limit must not end the read of the others.
        return await asyncio.shield(self._stopped[cluster])

    async def _read_stopped(self, cluster: str) -> list[Json]:
        arns = await list_tasks(self.aws, cluster, "STOPPED")
        return await describe_tasks(self.aws, cluster, arns)

    async def close(self) -> None:
        """End what is still being read."""
        for task in self._stopped.values():
            task.cancel()
        await asyncio.gather(*self._stopped.values(), return_exceptions=True)

    async def protection(self, cluster: str, arns: Sequence[str]) -> Mapping[str, float]:
        """Expiry of each protected task. Asked only while a service rolls or scales in."""
        found: dict[str, float] = {}
        for batch in _batches(arns, TASKS_PER_CALL):
            answer = await self.aws.call(
                "ecs", "GetTaskProtection", cluster=cluster, tasks=list(batch)
            )
            for raw in answer.get("protectedTasks", []):
                expires = epoch(raw.get("expirationDate"))
                if raw.get("protectionEnabled") and expires is not None:
                    found[raw["taskArn"]] = expires
        return found

    async def revision(self, name: str) -> Revision | None:
        """A revision by ARN, or the latest ACTIVE one of a family; None where there is none."""
        fresh, known = self.cache.fresh(name), self.cache.get(name)
        if fresh is not None:
            return fresh
        try:
            revision = await describe_revision(self.aws, name)
        except AwsError:
            if known is not None:
                return known  # Its content is unchanged, and most likely its status too.
            raise
        if revision is None and known is not None:
            # It was deleted. Its content is still known, and can be registered again.
            revision = replace(known, active=False)
        if revision is not None:
            self.cache.put(revision)
        return revision
