"""What may go wrong with a call to AWS."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

Json = dict[str, Any]


class Kind(StrEnum):
    """One way in which a call goes wrong."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    LOST_REQUEST = "lost_request"
    """It times out, and never took effect."""
    LOST_ANSWER = "lost_answer"
    """It times out after it took effect."""
    STALE = "stale"
    """The answer to the same question of before."""
    EMPTY = "empty"
    """Lists are empty, and what is asked for by name does not exist."""
    TRUNCATED = "truncated"
    """A part of the answer is missing, and nothing says so."""
    MALFORMED = "malformed"
    """The answer has another type than AWS declares."""


LISTS = ("serviceArns", "taskArns", "containerInstanceArns", "taskDefinitionArns", "Reservations")
NAMED = {"DescribeServices": ("services",), "DescribeTasks": ("tasks",)}
NAMED |= {"DescribeContainerInstances": ("containerInstances",), "DescribeClusters": ("clusters",)}


class ProcessDeathError(BaseException):
    """The daemon's process ends at this very moment."""


@dataclass
class Fault:
    """The next ``left`` calls of operations that have ``word`` in their name go wrong."""

    kind: Kind
    word: str
    left: int

    def hits(self, operation: str) -> bool:
        return self.left > 0 and self.word in operation


def refusal(operation: str, code: str, message: str, status: int = 400) -> ClientError:
    """An error as botocore raises it."""
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation)


def timed_out() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="https://ecs")


def raise_for(kind: Kind, operation: str) -> None:
    """Raise where the call does not come through."""
    if kind is Kind.THROTTLED:
        raise refusal(operation, "ThrottlingException", "Rate exceeded")
    if kind is Kind.SERVER_ERROR:
        raise refusal(operation, "ServerException", "Service Unavailable", 500)
    if kind is Kind.LOST_REQUEST:
        raise timed_out()


def spoil(kind: Kind, operation: str, asked: Json, answer: Json) -> Json:
    """``answer`` without all, or a part, of what it should hold, or with what it should not."""
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
