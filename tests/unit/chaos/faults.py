"""Faults of calls to AWS."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

Json = dict[str, Any]


class Kind(StrEnum):
    """A way in which a call fails."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    LOST_REQUEST = "lost_request"
    """The call times out without effect."""
    LOST_ANSWER = "lost_answer"
    """The call times out after it took effect."""
    STALE = "stale"
    """The response is an earlier one to the same request."""
    EMPTY = "empty"
    """Lists are empty, and objects that are requested by name do not exist."""
    TRUNCATED = "truncated"
    """A part of the response is missing without any indication."""
    MALFORMED = "malformed"
    """The response has another type than AWS declares."""


LISTS = ("serviceArns", "taskArns", "containerInstanceArns", "taskDefinitionArns", "Reservations")
NAMED = {"DescribeServices": ("services",), "DescribeTasks": ("tasks",)}
NAMED |= {"DescribeContainerInstances": ("containerInstances",), "DescribeClusters": ("clusters",)}


class ProcessDeathError(BaseException):
    """The daemon's process ends at this moment."""


@dataclass
class Fault:
    """The next ``left`` calls of operations with ``word`` in their name fail."""

    kind: Kind
    word: str
    left: int

    def hits(self, operation: str) -> bool:
        return self.left > 0 and self.word in operation


def refusal(operation: str, code: str, message: str, status: int = 400) -> ClientError:
    """Return an error as botocore raises it."""
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation)


def timed_out() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="https://ecs")


def raise_for(kind: Kind, operation: str) -> None:
    """Raise an error if the call does not reach AWS."""
    if kind is Kind.THROTTLED:
        raise refusal(operation, "ThrottlingException", "Rate exceeded")
    if kind is Kind.SERVER_ERROR:
        raise refusal(operation, "ServerException", "Service Unavailable", 500)
    if kind is Kind.LOST_REQUEST:
        raise timed_out()


def spoil(kind: Kind, operation: str, asked: Json, answer: Json) -> Json:
    """Return ``answer`` with the fault: without some or all of its content, or with other types."""
    made = copy.copy(answer)
    if kind is Kind.MALFORMED:
        return made | dict.fromkeys(made, 7)
    keep: Callable[[list[Any]], list[Any]] = (
        (lambda _: []) if kind is Kind.EMPTY else (lambda found: found[: len(found) // 2])
    )
    for name in LISTS:
        if name in made:
            made[name] = keep(made[name])
    for name in NAMED.get(operation, ()):
        found = made[name]
        made[name] = keep(found)
        if kind is Kind.EMPTY:
            failures = [{"arn": one, "reason": "MISSING"} for one in asked.get(name, ())]
            made["failures"] = failures
    return made
