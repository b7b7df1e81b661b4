"""Injected faults, and a record of every call, for tests of clients.

Besides rejections, delays, and lost answers, a fault can distort an answer with HTTP status 200:

- ``empty``: all lists are empty, as an eventually consistent list can be.
- ``partial``: each list contains only its first half.
- ``missing``: everything that the request names is in ``failures`` with the reason MISSING.
- ``stale``: the answer to the first identical request is repeated.
- ``bare``: the answer is a JSON object without members.
- ``truncated``: the body ends halfway.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.local.wire.protocol import ACCOUNT, EcsError, invalid

WRONG_ANSWERS = ("empty", "partial", "missing", "stale", "bare", "truncated")
MOTO_KINDS = ("throttle", "error", "delay", "truncated")
"""The kinds of fault that answers of moto's services can have."""
KINDS = ("throttle", "error", "timeout-after-effect", "delay", *WRONG_ANSWERS)
"""The kinds of fault that answers of ECS can have."""


@dataclass(slots=True)
class Fault:
    """A fault of the next ``count`` calls of ``operation``, where "*" means any operation.

    If ``lasts`` is set, all calls are affected for that many seconds instead. ``seconds`` is the
    length of a delay. ``service`` is ``ecs`` or a service that moto serves; for the latter only the
    kinds in `MOTO_KINDS` are supported. The fields are the JSON keys of ``POST /_local/faults``.
    """

    operation: str
    kind: str
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
        if fault.kind not in KINDS:
            raise invalid(f"fault: unknown kind {fault.kind!r}; supported: {', '.join(KINDS)}")
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
        if fault.kind == "throttle":
            raise EcsError("ThrottlingException", "Rate exceeded")
        if fault.kind == "error":
            raise EcsError("ServerException", "Service Unavailable. Please try again later.", 500)
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        return fault

    async def after(self, fault: Fault | None) -> None:
        """Apply the part of a fault that follows the call, which has taken effect.

        Raises ConnectionAbortedError if the answer is to be lost.
        """
        if fault is not None and fault.kind == "timeout-after-effect":
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
    if fault is None or fault.kind not in WRONG_ANSWERS:
        return text
    match fault.kind:
        case "stale":
            return fault.answers.setdefault(operation.encode() + body, text)
        case "truncated":
            return text[: len(text) // 2]
        case "bare":
            return "{}"
    answer = json.loads(text)
    if fault.kind == "missing":
        member = NAME_PARAMETERS.get(operation)
        if member is None:
            return text
        names = json.loads(body or b"{}").get(member, [])
        # ECS reports failures by ARN (ECS API reference, Failure).
        failures = [
            {"arn": f"arn:aws:ecs:us-east-1:{ACCOUNT}:{member}/{name}", "reason": "MISSING"}
            if not name.startswith("arn:")
            else {"arn": name, "reason": "MISSING"}
            for name in names
        ]
        return json.dumps({member: [], "failures": failures})
    for key, value in answer.items():
        if isinstance(value, list):
            answer[key] = value[: len(value) // 2] if fault.kind == "partial" else []
    answer.pop("nextToken", None)
    return json.dumps(answer)
