"""Watches on etcd and NATS that say "look now". They decide nothing and may fail at any time.

Each endpoint has one owned task, which re-arms with back-off. What a watch misses, the resync
timer finds.
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
    what: str, watch: Callable[[], Awaitable[None]], on_change: Callable[[], None]
) -> None:
    """Keep ``watch`` running until cancelled; each loss is news too."""
    pause: float | None = None
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await watch()
            reason = "ended"
        except Exception as error:
            # Any loss of a watch means the same: look again.
            reason = str(error) or type(error).__name__
        _log.debug("watch lost", what=what, reason=reason)
        on_change()
        pause = REARM.next(None if loop.time() - started > REARM.longest else pause)
        await asyncio.sleep(pause)


class Watches:
    """The watches of one graph; `follow` points them at the endpoints of the last pass.

    ``credentials`` tells the keys of now, each time that a watch is armed.
    """

    def __init__(
        self, namespace: str, on_change: Callable[[], None], credentials: Callable[[], Credentials]
    ) -> None:
        self._namespace = namespace
        self._credentials = credentials
        self._on_change = on_change
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def follow(self, endpoints: Endpoints) -> None:
        """Watch these endpoints from now on; those that are unchanged are left alone."""
        self._point("etcd", endpoints.etcd, self._watch_etcd)
        self._point("nats", endpoints.nats, self._watch_nats)

    def _point(self, what: str, url: str | None, watch: Callable[[str], Awaitable[None]]) -> None:
        now = self._running.get(what)
        if url is None or (now is not None and now[0] == url):
            return
        if now is not None:
            now[1].cancel()
        task = asyncio.create_task(_rearm(what, lambda: watch(url), self._on_change))
        self._running[what] = (url, task)

    async def _watch_etcd(self, url: str) -> None:
        await watch_instances(url, self._namespace, self._on_change, self._credentials().etcd)

    async def _watch_nats(self, url: str) -> None:
        await watch_nats(url.split(",")[0], self._on_change, self._credentials().nats)

    async def close(self) -> None:
        """Stop all and wait for them."""
        tasks = [task for _, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
