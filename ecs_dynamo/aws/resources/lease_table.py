"""The DynamoDB table of leases: one item per graph, whose key is ``graph``.

An item has the ``holder``, the number of its ``renewals``, and a ``fence`` that grows with every
change of holder. Every write is conditional, so that of two rivals one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError

_CONDITION_FAILED = "ConditionalCheckFailedException"


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """The holder in an item, and how often it has renewed the lease."""

    name: str
    renewals: int


@dataclass(frozen=True, slots=True)
class LeaseItem:
    """The lease of ``graph`` in ``table``, used by the daemon ``holder``."""

    aws: Aws
    table: str
    graph: str
    holder: str

    async def renew(self) -> LeaseHolder | int:
        """Renew an own lease; the fence, or the holder that has it. Raises `AwsError`."""
        return await self._update("", "holder = :me", {})

    async def take(self, silent: LeaseHolder | None) -> LeaseHolder | int:
        """Take the lease if it is free, or if ``silent`` holds it and has not renewed it since.

        Return the fence, or the holder that has the lease. Raises `AwsError`.
        """
        condition = "holder = :me OR attribute_not_exists(holder)"
        values: dict[str, Any] = {}
        if silent is not None:
            condition += " OR (holder = :rival AND renewals = :seen)"
            values = {":rival": {"S": silent.name}, ":seen": {"N": str(silent.renewals)}}
        return await self._update(", fence = if_not_exists(fence, :zero) + :one", condition, values)

    async def _update(
        self, update: str, condition: str, values: Mapping[str, Any]
    ) -> LeaseHolder | int:
        try:
            answer = await self.aws.call(
                "dynamodb",
                "UpdateItem",
                TableName=self.table,
                Key={"graph": {"S": self.graph}},
                UpdateExpression="SET holder = :me, "
                f"renewals = if_not_exists(renewals, :zero) + :one{update}",
                ConditionExpression=condition,
                ExpressionAttributeValues={
                    ":me": {"S": self.holder},
                    ":one": {"N": "1"},
                    ":zero": {"N": "0"},
                    **values,
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except AwsError as error:
            if error.code != _CONDITION_FAILED:
                raise
            item = error.item
            return LeaseHolder(
                str(item.get("holder", {}).get("S", "")),
                int(item.get("renewals", {}).get("N", "0")),
            )
        return int(answer["Attributes"].get("fence", {}).get("N", "0"))

    async def release(self) -> None:
        """Remove the holder if it is this daemon. Raises `AwsError`."""
        try:
            await self.aws.call(
                "dynamodb",
                "UpdateItem",
                TableName=self.table,
                Key={"graph": {"S": self.graph}},
                UpdateExpression="REMOVE holder",
                ConditionExpression="holder = :me",
                ExpressionAttributeValues={":me": {"S": self.holder}},
            )
        except AwsError as error:
            if error.code != _CONDITION_FAILED:
                raise
