"""Old revisions of a task definition family that may be deleted.

A process lists a family once, and again only when the service has a newer revision than the
listing: a converged graph costs no such call. Ownership is read from each revision's tags, a few of
the oldest per pass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import read_pages
from ecs_dynamo.common.arns import revision_number
from ecs_dynamo.model.ecs.task_definition import (
    RETIRED_PER_PASS,
    surplus,
)
from ecs_dynamo.model.graph import TAG_GRAPH, Component
from ecs_dynamo.model.service import (
    Service,
    good_arn,
)
from ecs_dynamo.model.snapshot import (
    ClusterServices,
    Observed,
    Revision,
    Unknown,
)

PAGES_PER_LISTING = 5
"""The oldest revisions come first; later pages are listed once these revisions are deleted."""


@dataclass(slots=True)
class _Listing:
    arns: set[str] = field(default_factory=set)
    latest: int = 0
    is_complete: bool = True


class FamilyListings:
    """The listings of families' revisions; one instance per process."""

    def __init__(self) -> None:
        self._known: dict[str, _Listing] = {}

    def forget(self, arn: str) -> None:
        """Drop a revision that is deleted, or that another owner registered."""
        for listing in self._known.values():
            listing.arns.discard(arn)

    async def surplus(
        self,
        aws: Aws,
        read: Callable[[str], Awaitable[Revision | None]],
        *,
        graph: str,
        current: Revision,
        keep: int,
        needed: Collection[str],
    ) -> tuple[str, ...]:
        """Return the ARNs of the graph's own revisions beyond the ``keep`` newest.

        ``needed`` ones are left out. Raises `AwsError`.
        """
        if current.number <= keep:
            return ()
        listing = self._known.get(current.family)
        if listing is None or listing.latest < current.number:
            listing = await self._list(aws, current)
        candidates = surplus(listing.arns, keep, needed)
        if not candidates and not listing.is_complete:
            del self._known[current.family]
        own = []
        for arn in candidates[:RETIRED_PER_PASS]:
            revision = await read(arn)
            if revision is not None and revision.tags.get(TAG_GRAPH) == graph:
                own.append(arn)
            else:
                listing.arns.discard(arn)
        return tuple(own)

    async def _list(self, aws: Aws, current: Revision) -> _Listing:
        listing = _Listing(latest=current.number)
        # A process that died in between leaves revisions that are deregistered but not deleted.
        for status in ("ACTIVE", "INACTIVE"):
            pages = 0
            async with aclosing(
                read_pages(
                    *(aws, "ecs", "ListTaskDefinitions"),
                    familyPrefix=current.family,
                    status=status,
                    sort="ASC",
                    maxResults=100,
                )
            ) as answers:
                async for answer in answers:
                    pages += 1
                    listing.arns |= set(answer["taskDefinitionArns"])
                    if pages == PAGES_PER_LISTING and answer.get("nextToken"):
                        listing.is_complete = False
                        break
        listing.latest = max(listing.latest, *map(revision_number, listing.arns), 0)
        self._known[current.family] = listing
        return listing


async def old_revisions(
    aws: Aws,
    families: FamilyListings,
    read: Callable[[str], Awaitable[Revision | None]],
    *,
    graph: str,
    component: Component,
    service: Observed[Service | None],
    services: Iterable[ClusterServices],
    revisions: Mapping[str, Revision],
    running: Iterable[Observed[list[dict[str, Any]]]],
) -> tuple[str, ...]:
    """Return the component's revisions that may be deleted; ``revisions`` are those in use.

    None are while a rollout is in progress, or while the ``services`` or the ``running`` tasks of a
    cluster are unknown. The generations of a component share a family, so the revisions of all
    services are needed. Raises `AwsError`.
    """
    if not isinstance(service, Service) or len(service.deployments) != 1:
        return ()
    if component.declared_name:
        return ()  # They are deleted with the component's own.
    current = revisions.get(service.task_definition_arn)
    if current is None or service.deployments[0].rollout_state != "COMPLETED":
        return ()
    needed = {service.task_definition_arn, good_arn(service) or "", *revisions}
    for in_cluster in services:
        if isinstance(in_cluster, Unknown):
            return ()
        for other in in_cluster.values():
            if isinstance(other, Unknown):
                return ()
            needed |= {other.task_definition_arn, good_arn(other) or ""}
    for tasks in running:
        if isinstance(tasks, Unknown):
            return ()
        needed |= {str(task.get("taskDefinitionArn")) for task in tasks}
    keep = component.rollout.keep_revisions
    return await families.surplus(aws, read, graph=graph, current=current, keep=keep, needed=needed)
