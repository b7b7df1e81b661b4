"""Keeping the lease of one graph while its loop runs."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from functools import partial
from math import inf

import structlog

from ecs_dynamo.config import Settings
from ecs_dynamo.config.settings import PREFIX
from ecs_dynamo.controller.leadership.base import Leadership
from ecs_dynamo.controller.leadership.dynamodb import DynamoDbLease
from ecs_dynamo.controller.leadership.etcd import EtcdLease
from ecs_dynamo.controller.reconcile.reconciler import Reconciler
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.model.graph import Graph

_log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews a lease in the background. Without a lease this daemon always leads.

    ``on_renewal`` is called after every attempt to renew the lease, ``on_change`` after a change of
    leadership.
    """

    def __init__(
        self,
        lease: Leadership | None,
        interval: float,
        on_renewal: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._interval = interval
        self._on_renewal = on_renewal
        self._on_change = on_change
        self.leads = lease is None

    @property
    def token(self) -> int:
        """The current fencing token; 0 without a lease."""
        return self._lease.token if self._lease is not None else 0

    def seconds_left(self, token: int) -> float:
        """For how long writes that were planned under ``token`` may still be sent."""
        if self._lease is None:
            return inf
        return self._lease.seconds_left if self._lease.token == token else 0.0

    async def run(self) -> None:
        """Acquire and renew the lease until cancelled. `Leadership.acquire` never raises."""
        lease = self._lease
        if lease is None:
            return
        while True:
            before = (self.leads, lease.token)
            self.leads = await lease.acquire()
            self._on_renewal()
            # A different token: the lease was lost and won again, and another daemon may have
            # acted in between.
            if before != (self.leads, lease.token) and (self.leads or before[0]):
                _log.info("leadership changed", leads=self.leads, token=lease.token)
                self._on_change()
            await asyncio.sleep(self._interval)

    async def release(self) -> None:
        """Release the lease, if there is one."""
        if self._lease is not None:
            await self._lease.release()


def open_lease(graph: Graph, reconciler: Reconciler, settings: Settings) -> Leadership | None:
    """Return the lease that the settings ask for, or None.

    Raises InputError if the settings ask for a lock in etcd and the graph has no external etcd. An
    etcd lock stays in the etcd of the daemon's start: two daemons with different ones would both
    lead.
    """
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    if settings.lease_table is not None:
        table = settings.lease_table
        return DynamoDbLease(reconciler.aws, table, graph.name, holder, settings.lease_seconds)
    if not settings.lease_etcd:
        return None
    if not graph.external_etcd:
        raise InputError(
            Problem(
                f"graph {graph.name!r} runs its own etcd, so that etcd cannot hold its lease",
                field=f"{PREFIX}LEASE_ETCD",
                remedy="set infrastructure.etcd.endpoints to an etcd outside of the graph, or use "
                f"{PREFIX}LEASE_TABLE",
            )
        )
    return EtcdLease(
        graph.external_etcd,
        graph.name,
        holder,
        settings.lease_seconds,
        connect=partial(reconciler.credentials.open_etcd, graph.security),
    )
