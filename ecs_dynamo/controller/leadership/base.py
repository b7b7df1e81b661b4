"""Leadership by a lease: of several daemons, one acts on a graph at a time.

Kept in DynamoDB here, or in an external etcd (`etcd_lease`).

One item a graph (key ``graph``) holds the holder, a counter that the holder raises with every
renewal, and a fencing token that grows with every change of holder. No clock is shared: a rival
takes over only after it has watched the same counter for a whole lease by its own monotonic clock
(as DynamoDB's lock client does; aws.amazon.com/blogs/database, "Building Distributed Locks with the
DynamoDB Lock Client"). Every write is conditional, so of two rivals one loses.

A leader that can not renew stops acting when its lease is over by its own clock, counted from
before the last renewal that succeeded: earlier than any rival may begin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog

from ecs_dynamo.model.errors import AwsError

_log = structlog.get_logger(__name__)


MARGIN = 0.75
"""Share of the lease for which a leader trusts a renewal; the rest is for a pending action."""


class Leadership(ABC):
    """A lease, whatever store it is kept in: held for as long as a leader may trust its renewal.

    ``clock`` gives monotonic seconds. ``token`` grows with every change of holder: an action
    decided under another token must not run.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self.token = 0

    @property
    def held(self) -> bool:
        """Whether this daemon may act now."""
        return self.seconds_left > 0

    @property
    def seconds_left(self) -> float:
        """For how long this daemon may still act; 0 or less where it does not hold the lease."""
        return self._until - self._clock()

    async def hold(self) -> bool:
        """Take or renew it where that is allowed now; whether it is held. Never raises.

        Called more often than once in a third of the lease.
        """
        asked = self._clock()
        try:
            won = await self._claim()
        except (AwsError, ConnectionError) as error:
            _log.warning("lease not renewed", error=str(error), held=self.held)
            return self.held
        self._until = asked + MARGIN * self._seconds if won else float("-inf")
        return won

    async def release(self) -> None:
        """Give it up, so that another may take it at once. Never raises."""
        self._until = float("-inf")
        try:
            await self._give_up()
        except (AwsError, ConnectionError) as error:
            _log.warning("lease not released; it ends by itself", error=str(error))

    @abstractmethod
    async def _claim(self) -> bool:
        """Whether the store gives it to this daemon; may raise."""

    @abstractmethod
    async def _give_up(self) -> None:
        """End this daemon's hold in the store, where it has one; may raise."""
