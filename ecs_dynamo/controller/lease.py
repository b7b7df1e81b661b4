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

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError

_log = structlog.get_logger(__name__)

MARGIN = 0.75
"""Share of the lease for which a leader trusts a renewal; the rest is for an action in hand."""


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


@dataclass(slots=True)
class _Seen:
    """The rival's item as it was last seen to change; ``at`` is monotonic seconds."""

    holder: str
    counter: int
    at: float


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
        self._aws = aws
        self._table = table
        self._graph = graph
        self._holder = holder
        self._seen: _Seen | None = None

    async def _claim(self) -> bool:
        """One conditional write: renew what is held; else take what is free or silent."""
        asked = self._clock()
        renewing = self._until > float("-inf")
        values: dict[str, Any] = {
            ":me": {"S": self._holder},
            ":one": {"N": "1"},
            ":zero": {"N": "0"},
        }
        update = "SET holder = :me, renewals = if_not_exists(renewals, :zero) + :one"
        condition = "holder = :me"
        if not renewing:
            update += ", fence = if_not_exists(fence, :zero) + :one"
            condition += " OR attribute_not_exists(holder)"
            rival = self._seen
            if rival is not None and asked - rival.at >= self._seconds:
                condition += " OR (holder = :rival AND renewals = :seen)"
                values |= {":rival": {"S": rival.holder}, ":seen": {"N": str(rival.counter)}}
        try:
            answer = await self._aws.call(
                "dynamodb",
                "UpdateItem",
                TableName=self._table,
                Key={"graph": {"S": self._graph}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            self._watch(error.item, asked)
            return False
        self._seen = None
        self.token = int(answer["Attributes"].get("fence", {}).get("N", "0"))
        return True

    def _watch(self, item: Mapping[str, Any], asked: float) -> None:
        """Remember since when the holder is silent."""
        holder = str(item.get("holder", {}).get("S", ""))
        counter = int(item.get("renewals", {}).get("N", "0"))
        seen = self._seen
        if seen is None or (seen.holder, seen.counter) != (holder, counter):
            self._seen = _Seen(holder, counter, asked)

    async def _give_up(self) -> None:
        if not self.token:
            return
        try:
            await self._aws.call(
                "dynamodb",
                "UpdateItem",
                TableName=self._table,
                Key={"graph": {"S": self._graph}},
                UpdateExpression="REMOVE holder",
                ConditionExpression="holder = :me",
                ExpressionAttributeValues={":me": {"S": self._holder}},
            )
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
