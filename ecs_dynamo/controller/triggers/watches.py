"""Watches on etcd and NATS, which only request a pass and may fail at any time.

Each endpoint has one task, which restarts its watch with back-off. The resync timer covers changes
that a watch misses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.discovery import watch_instances, watch_nats
from ecs_dynamo.discovery.credentials import Credentials
from ecs_dynamo.model.plan import Endpoints

_log = structlog.get_logger(__name__)

REARM = Backoff(first=1.0, longest=15.0)


async def _rearm(
    role: str, watch: Callable[[], Awaitable[None]], on_change: Callable[[], None]
) -> None:
    """Keep ``watch`` running until cancelled. The loss of a watch counts as a change."""
    pause: float | None = None
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await watch()
            reason = "ended"
        except Exception as error:
            # The reason does not matter: every loss of a watch requests a pass.
            reason = str(error) or type(error).__name__
        _log.debug("watch lost", role=role, reason=reason)
        on_change()
        pause = REARM.next(None if loop.time() - started > REARM.longest else pause)
        await asyncio.sleep(pause)


class Watches:
    """The watches of one graph; `follow` sets the endpoints that they watch.

    ``credentials`` returns the current credentials; it is called whenever a watch starts.
    """

    def __init__(
        self, namespace: str, on_change: Callable[[], None], credentials: Callable[[], Credentials]
    ) -> None:
        self._namespace = namespace
        self._credentials = credentials
        self._on_change = on_change
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def follow(self, endpoints: Endpoints) -> None:
        """Watch these endpoints from now on. The watch of an unchanged endpoint continues."""
        self._follow("etcd", endpoints.etcd, self._watch_etcd)
        self._follow("nats", endpoints.nats, self._watch_nats)

    def _follow(self, role: str, url: str | None, watch: Callable[[str], Awaitable[None]]) -> None:
        current = self._running.get(role)
        if url is None or (current is not None and current[0] == url):
            return
        if current is not None:
            current[1].cancel()
        task = asyncio.create_task(_rearm(role, lambda: watch(url), self._on_change))
        self._running[role] = (url, task)

    async def _watch_etcd(self, url: str) -> None:
        await watch_instances(url, self._namespace, self._on_change, self._credentials().etcd)

    async def _watch_nats(self, url: str) -> None:
        await watch_nats(url.split(",")[0], self._on_change, self._credentials().nats)

    async def close(self) -> None:
        """Stop all watches, and wait until their tasks have ended."""
        tasks = [task for _, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
