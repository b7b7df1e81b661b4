"""Faults on demand, and a record of every call: what tests of a client need of its server.

Besides refusals, delays and lost answers, an answer with HTTP 200 may be wrong:

- ``empty``: its lists are empty, as an eventually consistent list may be.
- ``partial``: just the first half of each list is there.
- ``missing``: nothing of what was asked for by name exists (``failures`` with the reason MISSING).
- ``stale``: the answer that the first such request got is given again.
- ``bare``: a JSON object without members.
- ``truncated``: the body ends in the middle.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.local.wire.protocol import EcsError, invalid

WRONG_ANSWERS = ("empty", "partial", "missing", "stale", "bare", "truncated")
OF_OTHERS = ("throttle", "error", "delay", "truncated")
KINDS = ("throttle", "error", "timeout-after-effect", "delay", *WRONG_ANSWERS)


@dataclass(slots=True)
class Fault:
    """``count`` calls of ``operation`` ("*": any) go wrong. ``seconds`` is for delays.

    With ``lasts`` given, all calls do for so many seconds instead. ``service`` is ``ecs`` or one of
    moto's, of whose answers just ``throttle``, ``error``, ``delay`` and ``truncated`` are known.
    """

    operation: str
    kind: str
    count: int = 1
    seconds: float = 1.0
    lasts: float = 0.0
    service: str = "ecs"
    until: float = field(default=0.0, init=False)
    answers: dict[bytes, str] = field(default_factory=dict, init=False)
    """For ``stale``: the first answer to each request."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until if self.lasts else self.count <= 0


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came in; ``at`` is UTC seconds, ``agent`` the client's User-Agent."""

    service: str
    operation: str
    at: float
    agent: str = ""


@dataclass(slots=True)
class Faults:
    """The faults in force and the calls so far."""

    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=20_000))
    pending: list[Fault] = field(default_factory=list)

    def record(self, service: str, operation: str, agent: str = "") -> Call:
        call = Call(service, operation, time.time(), agent)
        self.calls.append(call)
        return call

    def add(self, document: dict[str, Any]) -> Fault:
        """A fault from its JSON form. Raises EcsError."""
        try:
            fault = Fault(**document)
        except TypeError as error:
            raise invalid(f"fault: {error}") from None
        if fault.kind not in KINDS:
            raise invalid(f"fault: kind {fault.kind!r} is none of {', '.join(KINDS)}")
        if fault.service != "ecs" and fault.kind not in OF_OTHERS:
            raise invalid(f"fault: {fault.service} knows no kind but {', '.join(OF_OTHERS)}")
        fault.until = time.monotonic() + fault.lasts
        self.pending.append(fault)
        return fault

    def take(self, operation: str, service: str = "ecs") -> Fault | None:
        """The fault that befalls this call."""
        self.pending = [fault for fault in self.pending if not fault.over]
        for fault in self.pending:
            if fault.operation in (operation, "*") and fault.service == service:
                fault.count -= 1
                return fault
        return None

    async def before(self, operation: str) -> Fault | None:
        """Apply what comes before the call; the fault is returned for `after`."""
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
        """The call has taken effect, and nobody hears of it."""
        if fault is not None and fault.kind == "timeout-after-effect":
            await asyncio.sleep(fault.seconds)
            raise ConnectionAbortedError


NAMED = {
    "DescribeClusters": "clusters",
    "DescribeServices": "services",
    "DescribeTasks": "tasks",
    "DescribeContainerInstances": "containerInstances",
}
"""Parameter of the names that are asked for, which is the member of the answer too."""


def distorted(fault: Fault | None, operation: str, body: bytes, text: str) -> str:
    """The answer ``text`` to a request as ``fault`` makes it."""
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
        member = NAMED.get(operation)
        if member is None:
            return text
        names = json.loads(body or b"{}").get(member, [])
        # ARNs of what is named: ECS answers with these (ECS API reference, Failure).
        failures = [
            {"arn": f"arn:aws:ecs:us-east-1:123456789012:{member}/{name}", "reason": "MISSING"}
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
