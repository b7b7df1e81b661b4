"""Leadership by a lock in an etcd that stands outside the graph: the other store for a lease.

One key a graph, made only where there is none (a transaction that compares its create revision
with 0), and bound to an etcd lease that the leader keeps alive. A leader that dies or is cut off
loses the key with the lease; the next one's key has a higher create revision, which is the fencing
token (etcd's documentation, "etcd versus other key-value stores", on locks).

etcd counts a lease from the last keep-alive that it has processed, the leader from before it sent
that one, so the leader stops earlier than any rival may begin.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aetcd
import structlog

from ecs_dynamo.controller.lease import MARGIN
from ecs_dynamo.discovery.etcd import open_etcd

_log = structlog.get_logger(__name__)

PREFIX = "ecs-dynamo/leaders/"
"""Where the locks are; a user of etcd's needs read and write rights on it alone."""

OpenEtcd = Callable[[str, float], AbstractAsyncContextManager[Any]]


class EtcdLease:
    """One daemon's side of the lock of one graph. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        urls: tuple[str, ...],
        graph: str,
        holder: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        connect: OpenEtcd = open_etcd,
    ) -> None:
        self._urls = urls
        self._key = f"{PREFIX}{graph}".encode()
        self._holder = holder.encode()
        # etcd counts whole seconds, and the daemon must not count longer than etcd.
        self._seconds = math.ceil(seconds)
        self._clock = clock
        self._connect = connect
        self._lease: int | None = None
        self._until = float("-inf")
        self.token = 0

    @property
    def held(self) -> bool:
        """Whether this daemon may act now."""
        return self._clock() < self._until

    async def hold(self) -> bool:
        """Take or renew the lock where that is allowed now; whether it is held. Never raises.

        Called more often than once in a third of the lease.
        """
        asked = self._clock()
        try:
            won = await self._each(self._claim)
        except ConnectionError as error:
            _log.warning("lease not renewed", error=str(error), held=self.held)
            return self.held
        self._until = asked + MARGIN * self._seconds if won else float("-inf")
        return won

    async def release(self) -> None:
        """Give the lock up, so that another may take it at once. Never raises."""
        self._until = float("-inf")
        if self._lease is None:
            return
        try:
            await self._each(self._revoke)
        except ConnectionError as error:
            _log.warning("lease not released; it ends by itself", error=str(error))

    async def _each(self, call: Callable[[Any], Awaitable[bool]]) -> bool:
        """``call`` at the first server that answers; ConnectionError where none does."""
        reasons: list[str] = []
        timeout = max(0.5, self._seconds / (4 * len(self._urls)))
        for url in self._urls:
            try:
                async with self._connect(url, timeout) as client:
                    return await call(client)
            except ConnectionError as error:
                reasons.append(str(error))
        raise ConnectionError("; ".join(reasons))

    async def _claim(self, client: Any) -> bool:
        if self._lease is not None and (await client.refresh_lease(self._lease)).TTL <= 0:
            self._lease = None
        found = await client.get(self._key)
        if found is None:
            await self._revoke(client)
            lease = self._lease = (await client.lease(self._seconds)).id
            await client.transaction(
                compare=[client.transactions.create(self._key) == 0],
                success=[client.transactions.put(self._key, self._holder, lease)],
                failure=[],
            )
            found = await client.get(self._key)
        # The lease tells of an answer that was lost: what it holds was put by this daemon.
        mine = found is not None and found.lease == self._lease and found.value == self._holder
        if mine:
            self.token = int(found.create_revision)
        else:
            await self._revoke(client)
        return bool(mine)

    async def _revoke(self, client: Any) -> bool:
        """End the lease, and with it the key that is bound to it and no other."""
        if self._lease is not None:
            try:
                await client.revoke_lease(self._lease)
            except aetcd.ClientError as error:
                if "lease not found" not in str(error):
                    raise
            self._lease = None
        return True
