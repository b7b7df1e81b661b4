"""Leadership by a lease in a DynamoDB table.

One item per graph (key ``graph``) has the holder, a counter that the holder increments with every
renewal, and a fencing token that grows with every change of holder. A rival takes over only after
it has observed the same counter for a whole lease by its own monotonic clock, as DynamoDB's lock
client does (aws.amazon.com/blogs/database, "Building Distributed Locks with the DynamoDB Lock
Client"). Every write is conditional, so of two rivals one loses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.controller.leadership.base import Leadership
from ecs_dynamo.model.errors import AwsError


@dataclass(slots=True)
class _Rival:
    """The other holder and its counter; unchanged since ``since`` (monotonic seconds)."""

    holder: str
    counter: int
    since: float


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
        self._rival: _Rival | None = None

    async def _acquire(self) -> bool:
        """Renew an own lease, or take one that is free or whose holder is silent, in one write."""
        started_at = self._clock()
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
            rival = self._rival
            if rival is not None and started_at - rival.since >= self._seconds:
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
            self._observe_rival(error.item, started_at)
            return False
        self._rival = None
        self.token = int(answer["Attributes"].get("fence", {}).get("N", "0"))
        return True

    def _observe_rival(self, item: Mapping[str, Any], now: float) -> None:
        """Remember since when the holder has not renewed its lease."""
        holder = str(item.get("holder", {}).get("S", ""))
        counter = int(item.get("renewals", {}).get("N", "0"))
        known = self._rival
        if known is None or (known.holder, known.counter) != (holder, counter):
            self._rival = _Rival(holder, counter, now)

    async def _release(self) -> None:
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
