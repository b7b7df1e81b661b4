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
    """A kind of fault."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    LOST_REQUEST = "lost_request"
    """The call times out without taking effect."""
    LOST_ANSWER = "lost_answer"
    """The call takes effect and then times out."""
    STALE = "stale"
    """The answer is that of the previous identical call."""
    EMPTY = "empty"
    """Lists are empty, and objects requested by name do not exist."""
    TRUNCATED = "truncated"
    """A part of the answer is missing without any indication."""
    MALFORMED = "malformed"
    """The members of the answer have wrong types."""


LISTS = ("serviceArns", "taskArns", "containerInstanceArns", "taskDefinitionArns", "Reservations")
NAMED = {"DescribeServices": ("services",), "DescribeTasks": ("tasks",)}
NAMED |= {"DescribeContainerInstances": ("containerInstances",), "DescribeClusters": ("clusters",)}


class ProcessDeathError(BaseException):
    """The daemon's process ends at this moment."""


@dataclass
class Fault:
    """A fault of the next ``remaining`` calls of operations whose name contains ``word``."""

    kind: Kind
    word: str
    remaining: int

    def hits(self, operation: str) -> bool:
        return self.remaining > 0 and self.word in operation


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
    """Raise the error of a call that takes no effect."""
    if kind is Kind.THROTTLED:
        raise refusal(operation, "ThrottlingException", "Rate exceeded")
    if kind is Kind.SERVER_ERROR:
        raise refusal(operation, "ServerException", "Service Unavailable", 500)
    if kind is Kind.LOST_REQUEST:
        raise timed_out()


def spoil(kind: Kind, operation: str, request: Json, answer: Json) -> Json:
    """Return an empty, truncated or malformed form of ``answer``."""
    spoiled = copy.copy(answer)
    if kind is Kind.MALFORMED:
        return spoiled | dict.fromkeys(spoiled, 7)
    keep: Callable[[list[Any]], list[Any]] = (
        (lambda _: []) if kind is Kind.EMPTY else (lambda items: items[: len(items) // 2])
    )
    for name in LISTS:
        if name in spoiled:
            spoiled[name] = keep(spoiled[name])
    for name in NAMED.get(operation, ()):
        spoiled[name] = keep(spoiled[name])
        if kind is Kind.EMPTY:
            requested = request.get(name, ())
            spoiled["failures"] = [{"arn": arn, "reason": "MISSING"} for arn in requested]
    return spoiled
