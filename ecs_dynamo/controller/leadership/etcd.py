"""Leadership by a lock in an etcd outside of the graph.

One key per graph is created only if it does not exist (a transaction that compares its create
revision with 0), and is bound to an etcd lease that the leader keeps alive. A leader that dies or
is cut off loses the key with the lease. The next leader's key has a higher create revision, which
is the fencing token (etcd's documentation, "etcd versus other key-value stores", on locks).

etcd counts a lease from the last keep-alive that it processed, the leader from before it sent that
one. The leader therefore stops earlier than any rival may begin.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aetcd

from ecs_dynamo.controller.leadership.base import Leadership
from ecs_dynamo.discovery.etcd import open_etcd

PREFIX = "ecs-dynamo/leaders/"
"""Prefix of the locks; an etcd user needs read and write permissions on it only."""

OpenEtcd = Callable[[str, float], AbstractAsyncContextManager[Any]]


class EtcdLease(Leadership):
    """One daemon's side of the lock of one graph."""

    def __init__(
        self,
        urls: tuple[str, ...],
        graph: str,
        holder: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        connect: OpenEtcd = open_etcd,
    ) -> None:
        # The unit of etcd's leases is a whole second.
        self._whole_seconds = math.ceil(seconds)
        super().__init__(self._whole_seconds, clock)
        self._urls = urls
        self._key = f"{PREFIX}{graph}".encode()
        self._holder = holder.encode()
        self._connect = connect
        self._lease: int | None = None

    async def _acquire(self) -> bool:
        return await self._with_any_server(self._lock)

    async def _release(self) -> None:
        if self._lease is not None:
            await self._with_any_server(self._revoke)

    async def _with_any_server(self, call: Callable[[Any], Awaitable[bool]]) -> bool:
        """Run ``call`` with the first server that answers. ConnectionError if none does."""
        reasons: list[str] = []
        timeout = max(0.5, self._seconds / (4 * len(self._urls)))
        for url in self._urls:
            try:
                async with self._connect(url, timeout) as client:
                    return await call(client)
            except ConnectionError as error:
                reasons.append(str(error))
        raise ConnectionError("; ".join(reasons))

    async def _lock(self, client: Any) -> bool:
        if self._lease is not None and (await client.refresh_lease(self._lease)).TTL <= 0:
            self._lease = None
        entry = await client.get(self._key)
        if entry is None:
            await self._revoke(client)
            lease = self._lease = (await client.lease(self._whole_seconds)).id
            await client.transaction(
                compare=[client.transactions.create(self._key) == 0],
                success=[client.transactions.put(self._key, self._holder, lease)],
                failure=[],
            )
            entry = await client.get(self._key)
        # Comparing the lease as well covers a lost answer: only this daemon puts keys under it.
        is_own = entry is not None and entry.lease == self._lease and entry.value == self._holder
        if is_own:
            self.token = int(entry.create_revision)
        else:
            await self._revoke(client)
        return bool(is_own)

    async def _revoke(self, client: Any) -> bool:
        """Revoke the lease, which deletes the key that is bound to it and no other."""
        if self._lease is not None:
            try:
                await client.revoke_lease(self._lease)
            except aetcd.ClientError as error:
                if "lease not found" not in str(error):
                    raise
            self._lease = None
        return True
