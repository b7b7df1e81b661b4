"""Old revisions of a task definition family that may go.

A family is listed once by a process, and again only when the service has a newer revision than
were listed: a graph that is as declared costs no call for it. Whose a revision is, its tags tell;
they are read for the oldest few at a time.
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
    Observed,
    Revision,
    Unknown,
)

PAGES_PER_LISTING = 5
"""Oldest first: what is beyond is looked at once these are gone."""


@dataclass(slots=True)
class _Listing:
    arns: set[str] = field(default_factory=set)
    latest: int = 0
    whole: bool = True


class FamilyListings:
    """What is known of the families' revisions. One for each process."""

    def __init__(self) -> None:
        self._known: dict[str, _Listing] = {}

    def forget(self, arn: str) -> None:
        """``arn`` is gone, or not ours to remove."""
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
        """ARNs of the graph's own revisions beyond the ``keep`` newest. Raises `AwsError`."""
        if current.number <= keep:
            return ()
        listing = self._known.get(current.family)
        if listing is None or listing.latest < current.number:
            listing = await self._list(aws, current)
        found = surplus(listing.arns, keep, needed)
        if not found and not listing.whole:
            del self._known[current.family]
        mine = []
        for arn in found[:RETIRED_PER_PASS]:
            revision = await read(arn)
            if revision is not None and revision.tags.get(TAG_GRAPH) == graph:
                mine.append(arn)
            else:
                listing.arns.discard(arn)
        return tuple(mine)

    async def _list(self, aws: Aws, current: Revision) -> _Listing:
        listing = _Listing(latest=current.number)
        # What was deregistered and not deleted, as a process died between the two, is found too.
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
                        listing.whole = False
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
    revisions: Mapping[str, Revision],
    running: Iterable[Observed[list[dict[str, Any]]]],
) -> tuple[str, ...]:
    """The component's revisions that may go. Looked for while nothing rolls, and where all of the
    clusters' ``running`` tasks are known; ``revisions`` are those in use. Raises `AwsError`."""
    if not isinstance(service, Service) or len(service.deployments) != 1:
        return ()
    current = revisions.get(service.task_definition_arn)
    if current is None or service.deployments[0].rollout_state != "COMPLETED":
        return ()
    needed = {service.task_definition_arn, good_arn(service) or "", *revisions}
    for tasks in running:
        if isinstance(tasks, Unknown):
            return ()
        needed |= {str(task.get("taskDefinitionArn")) for task in tasks}
    keep = component.rollout.keep_revisions
    return await families.surplus(aws, read, graph=graph, current=current, keep=keep, needed=needed)
