"""Injected faults, and a record of every call, for tests of clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ecs_dynamo.local.wire.protocol import ACCOUNT, EcsError, failure, invalid


class FaultKind(StrEnum):
    """Kinds of faults. Those from EMPTY on distort an answer with HTTP status 200."""

    THROTTLE = "throttle"
    ERROR = "error"
    DELAY = "delay"
    TIMEOUT_AFTER_EFFECT = "timeout-after-effect"
    """The call takes effect, and its answer is lost."""
    EMPTY = "empty"
    """All lists are empty, as an eventually consistent list can be."""
    PARTIAL = "partial"
    """Each list contains only its first half."""
    MISSING = "missing"
    """Everything that the request names is in ``failures`` with the reason MISSING."""
    STALE = "stale"
    """The answer to the first identical request is repeated."""
    BARE = "bare"
    """The answer is a JSON object without members."""
    TRUNCATED = "truncated"
    """The body ends halfway."""


MOTO_KINDS = (FaultKind.THROTTLE, FaultKind.ERROR, FaultKind.DELAY, FaultKind.TRUNCATED)
"""The kinds of faults that services of moto support."""


@dataclass(slots=True)
class Fault:
    """A fault of the next ``count`` calls of ``operation``, where "*" means any operation.

    If ``lasts`` is set, all calls are affected for that many seconds instead. ``seconds`` is the
    length of a delay. ``service`` is ``ecs`` or a service that moto serves; for the latter only the
    kinds in `MOTO_KINDS` are supported. The fields are the JSON keys of ``POST /_local/faults``.
    """

    operation: str
    kind: FaultKind
    count: int = 1
    seconds: float = 1.0
    lasts: float = 0.0
    service: str = "ecs"
    until: float = field(default=0.0, init=False)
    answers: dict[bytes, str] = field(default_factory=dict, init=False)
    """The first answer to each request, for the kind ``stale``."""

    @property
    def expired(self) -> bool:
        """Whether the fault no longer affects any call."""
        return time.monotonic() >= self.until if self.lasts else self.count <= 0


@dataclass(frozen=True, slots=True)
class Call:
    """A received call. ``at`` is in UTC seconds, ``agent`` is the client's User-Agent."""

    service: str
    operation: str
    at: float
    agent: str = ""


@dataclass(slots=True)
class Faults:
    """The active faults, and the most recent calls."""

    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=20_000))
    pending: list[Fault] = field(default_factory=list)

    def record(self, service: str, operation: str, agent: str = "") -> Call:
        """Record a received call and return it."""
        call = Call(service, operation, time.time(), agent)
        self.calls.append(call)
        return call

    def add(self, document: dict[str, Any]) -> Fault:
        """Activate the fault that a JSON document describes. Raises EcsError if it is invalid."""
        try:
            fault = Fault(**document)
        except TypeError as error:
            raise invalid(f"fault: {error}") from None
        try:
            fault.kind = FaultKind(fault.kind)
        except ValueError:
            supported = ", ".join(FaultKind)
            raise invalid(f"fault: unknown kind {fault.kind!r}; supported: {supported}") from None
        if fault.service != "ecs" and fault.kind not in MOTO_KINDS:
            raise invalid(f"fault: {fault.service} supports only {', '.join(MOTO_KINDS)}")
        fault.until = time.monotonic() + fault.lasts
        self.pending.append(fault)
        return fault

    def take(self, operation: str, service: str = "ecs") -> Fault | None:
        """Return the fault that affects this call, and count the call against it."""
        self.pending = [fault for fault in self.pending if not fault.expired]
        for fault in self.pending:
            if fault.operation in (operation, "*") and fault.service == service:
                fault.count -= 1
                return fault
        return None

    async def before(self, operation: str) -> Fault | None:
        """Apply the part of a fault that precedes the call.

        Returns the fault, which `after` and `distort_answer` take. Raises EcsError if the fault
        rejects the call.
        """
        fault = self.take(operation)
        if fault is None:
            return None
        if fault.kind is FaultKind.THROTTLE:
            raise EcsError("ThrottlingException", "Rate exceeded")
        if fault.kind is FaultKind.ERROR:
            raise EcsError("ServerException", "Service Unavailable. Please try again later.", 500)
        if fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
        return fault

    async def after(self, fault: Fault | None) -> None:
        """Apply the part of a fault that follows the call, which has taken effect.

        Raises ConnectionAbortedError if the answer is to be lost.
        """
        if fault is not None and fault.kind is FaultKind.TIMEOUT_AFTER_EFFECT:
            await asyncio.sleep(fault.seconds)
            raise ConnectionAbortedError


NAME_PARAMETERS = {
    "DescribeClusters": "clusters",
    "DescribeServices": "services",
    "DescribeTasks": "tasks",
    "DescribeContainerInstances": "containerInstances",
}
"""Parameter with the names of the resources to describe; the answer's member has the same name."""


def distort_answer(fault: Fault | None, operation: str, body: bytes, text: str) -> str:
    """Return the answer ``text`` to a request as ``fault`` changes it."""
    if fault is None:
        return text
    match fault.kind:
        case FaultKind.STALE:
            return fault.answers.setdefault(operation.encode() + body, text)
        case FaultKind.TRUNCATED:
            return text[: len(text) // 2]
        case FaultKind.BARE:
            return "{}"
        case FaultKind.MISSING:
            return _all_missing(operation, body) or text
        case FaultKind.EMPTY:
            return _with_shorter_lists(text, 0)
        case FaultKind.PARTIAL:
            return _with_shorter_lists(text, 0.5)
    return text


def _all_missing(operation: str, body: bytes) -> str | None:
    """Return an answer in which all named resources are missing, if the request names resources."""
    member = NAME_PARAMETERS.get(operation)
    if member is None:
        return None
    failures = [
        # ECS reports failures by ARN (ECS API reference, Failure).
        failure(
            name if name.startswith("arn:") else f"arn:aws:ecs:us-east-1:{ACCOUNT}:{member}/{name}"
        )
        for name in json.loads(body or b"{}").get(member, [])
    ]
    return json.dumps({member: [], "failures": failures})


def _with_shorter_lists(text: str, share: float) -> str:
    """Return an answer with the first ``share`` of each list, and without a next page."""
    answer = json.loads(text)
    for key, value in answer.items():
        if isinstance(value, list):
            answer[key] = value[: int(len(value) * share)]
    answer.pop("nextToken", None)
    return json.dumps(answer)
