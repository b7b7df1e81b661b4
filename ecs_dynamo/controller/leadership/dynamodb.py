"""Leadership by a lease in a DynamoDB table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.controller.leadership.base import Leadership
from ecs_dynamo.model.errors import AwsError

_log = structlog.get_logger(__name__)


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
