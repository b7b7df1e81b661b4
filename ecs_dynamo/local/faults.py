"""Faults on demand, and a record of every call: what tests of a client need of its server."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.local.protocol import EcsError, invalid

KINDS = ("throttle", "error", "timeout-after-effect", "delay")


@dataclass(slots=True)
class Fault:
    """``count`` calls of ``operation`` ("*": any) go wrong. ``seconds`` is for delays."""

    operation: str
    kind: str
    count: int = 1
    seconds: float = 1.0


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
        self.pending.append(fault)
        return fault

    def _take(self, operation: str) -> Fault | None:
        for fault in self.pending:
            if fault.operation in (operation, "*") and fault.count > 0:
                fault.count -= 1
                if fault.count == 0:
                    self.pending.remove(fault)
                return fault
        return None

    async def before(self, operation: str) -> Fault | None:
        """Apply what comes before the call; the fault is returned for `after`."""
        fault = self._take(operation)
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
