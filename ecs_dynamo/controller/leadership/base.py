"""Leadership by a lease: of several daemons, at most one acts on a graph at a time.

The lease is stored in DynamoDB (`dynamodb`) or in an etcd outside of the graph (`etcd`).

A leader that cannot renew its lease stops acting when the lease ends by its own monotonic clock,
counted from before the last successful renewal. That is earlier than any rival may begin, and no
clocks have to agree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog

from ecs_dynamo.model.errors import AwsError

_log = structlog.get_logger(__name__)


TRUSTED_SHARE = 0.75
"""Share of the lease during which a leader acts on a renewal; the rest is for a pending action."""


class Leadership(ABC):
    """A daemon's side of the lease of one graph, independent of the store.

    ``clock`` returns monotonic seconds. ``token`` grows with every change of holder: an action
    that was planned under another token must not run.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self.token = 0

    @property
    def is_leader(self) -> bool:
        """Whether this daemon may act now."""
        return self.seconds_left > 0

    @property
    def seconds_left(self) -> float:
        """For how long this daemon may still act; 0 or less when it is not the leader."""
        return self._until - self._clock()

    async def acquire(self) -> bool:
        """Acquire or renew the lease, and return whether this daemon is the leader. Never raises.

        It must be called more often than three times per lease.
        """
        started_at = self._clock()
        try:
            acquired = await self._acquire()
        except (AwsError, ConnectionError) as error:
            _log.warning("failed to renew the lease", error=str(error), leads=self.is_leader)
            return self.is_leader
        self._until = started_at + TRUSTED_SHARE * self._seconds if acquired else float("-inf")
        return acquired

    async def release(self) -> None:
        """Give up the lease, so that another daemon can acquire it at once. Never raises."""
        self._until = float("-inf")
        try:
            await self._release()
        except (AwsError, ConnectionError) as error:
            _log.warning("failed to release the lease, it will expire", error=str(error))

    @abstractmethod
    async def _acquire(self) -> bool:
        """Acquire or renew the lease in the store. Raises AwsError or ConnectionError."""

    @abstractmethod
    async def _release(self) -> None:
        """Release this daemon's lease in the store, if it has one. May raise like `_acquire`."""
