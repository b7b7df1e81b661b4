"""Leadership by a lease in a DynamoDB table.

One item per graph (key ``graph``) has the holder, a counter that the holder increments with every
renewal, and a fencing token that grows with every change of holder. A rival takes over only after
it has observed the same counter for a whole lease by its own monotonic clock, as DynamoDB's lock
client does (aws.amazon.com/blogs/database, "Building Distributed Locks with the DynamoDB Lock
Client"). Every write is conditional, so of two rivals one loses.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.resources.lease_table import LeaseHolder, LeaseItem
from ecs_dynamo.controller.leadership.base import Leadership


class DynamoDbLease(Leadership):
    """One daemon's side of the lease of one graph."""

    def __init__(
        self,
        aws: Aws,
        table: str,
        graph: str,
        holder: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(seconds, clock)
        self._item = LeaseItem(aws, table, graph, holder)
        self._rival: LeaseHolder | None = None
        self._rival_since = 0.0
        """When the rival was first observed with this number of renewals, in monotonic seconds."""

    async def _acquire(self) -> bool:
        """Renew an own lease, or take one that is free or whose holder is silent, in one write."""
        started_at = self._clock()
        if self._until > float("-inf"):
            result = await self._item.renew()
        else:
            is_silent = started_at - self._rival_since >= self._seconds
            result = await self._item.take(self._rival if is_silent else None)
        if isinstance(result, LeaseHolder):
            if result != self._rival:
                self._rival, self._rival_since = result, started_at
            return False
        self._rival = None
        self.token = result
        return True

    async def _release(self) -> None:
        if self.token:
            await self._item.release()
