"""AWS's APIs over the simulated account, with faults, for the clients of `ecs_dynamo.aws`.

Answers have AWS's shapes, so that the real client, observation and executor run. The behaviour of
ECS itself is in the simulated account.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

from botocore import xform_name

from ecs_dynamo.aws.client import Aws, AwsOptions
from ecs_dynamo.aws.rate_limits import is_write
from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.common.backoff import Backoff
from tests.unit.aws.fake_aws import service_model
from tests.unit.chaos.simulation.account import SimulatedAccount
from tests.unit.chaos.simulation.faults import (
    Fault,
    Kind,
    ProcessDeathError,
    raise_for,
    spoil,
    timed_out,
)
from tests.unit.chaos.simulation.reads import ReadOperations
from tests.unit.chaos.simulation.writes import WriteOperations

Json = dict[str, Any]
TIME_OUT_SECONDS = 5.0


class Client:
    """A client of one AWS service, as `Aws` calls it."""

    def __init__(self, service: str, api: SimulatedApi) -> None:
        self.meta = SimpleNamespace(service_model=service_model(service))
        for operation in self.meta.service_model.operation_names:
            setattr(self, xform_name(operation), self._method(api, operation))

    @staticmethod
    def _method(api: SimulatedApi, operation: str) -> Callable[..., Any]:
        async def method(**parameters: Any) -> Json:
            return await api.answer(operation, parameters)

        return method


class SimulatedApi:
    """The API of one account. ``clock`` returns the server's time in UTC seconds.

    ``before_write`` is called with each write that reaches AWS, before it takes effect. Events
    happen before or after the call, or before or after the write, of their number (counted from
    `begin`); an event may raise.
    """

    def __init__(self, ecs: SimulatedAccount, clock: Callable[[], float]) -> None:
        self.ecs = ecs
        self.clock = clock
        self.reads = ReadOperations(ecs)
        self._writes = WriteOperations(ecs, self.reads)
        self.faults: list[Fault] = []
        self.before_write: Callable[[str, Json], None] = lambda *_: None
        self.before_call: dict[int, Callable[[], None]] = {}
        self.after_call: dict[int, Callable[[], None]] = {}
        self.number = 0
        self.at_write: dict[int, Callable[[], None]] = {}
        self.after_write: dict[int, Callable[[], None]] = {}
        self.writes: list[tuple[str, Json]] = []
        self.calls: Counter[str] = Counter()
        self.spoiled: set[str] = set()
        """Operations whose answer was spoiled since `begin`."""
        self._previous_answers: dict[str, Json] = {}

    def begin(self) -> None:
        """Begin a pass."""
        self.number = 0
        self.forget_events()
        self.writes = []
        self.spoiled = set()

    def forget_events(self) -> None:
        """Cancel the events that have not happened in this pass."""
        self.before_call, self.after_call = {}, {}
        self.at_write, self.after_write = {}, {}

    def open(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> Aws:
        """Return a process's access to this account."""
        clients = {name: Client(name, self) for name in ("ecs", "ec2")}
        aws = Aws(clients, AwsOptions(attempts=3, backoff=Backoff(0.2, 5.0)), lambda: 0.0)
        aws.clock = ServerClock(monotonic, wall)
        return aws

    async def answer(self, operation: str, request: Json) -> Json:
        """Carry out one call, with the events and faults that affect it."""
        self.number += 1
        number = self.number
        self.calls[operation] += 1
        self.ecs.now = self.clock()
        if (event := self.before_call.get(number)) is not None:
            event()
        fault = next((f for f in self.faults if f.hits(operation)), None)
        if fault is not None:
            fault.remaining -= 1
            self.spoiled.add(operation)
            if fault.kind is Kind.LOST_REQUEST:
                await asyncio.sleep(TIME_OUT_SECONDS)
            raise_for(fault.kind, operation)
        key = json.dumps([operation, request], sort_keys=True, default=str)
        write_number = 0
        handlers: ReadOperations | WriteOperations = self.reads
        if is_write(operation):
            handlers = self._writes
            write_number = len(self.writes) + 1
            if (event := self.at_write.get(write_number)) is not None:
                event()
            self.before_write(operation, request)
            self.writes.append((operation, request))
        answer: Json = getattr(handlers, xform_name(operation))(request)
        for event in (self.after_call.get(number), self.after_write.get(write_number)):
            if event is not None:
                event()
        previous = self._previous_answers.get(key, answer)
        self._previous_answers[key] = answer
        if fault is not None and not is_write(operation):
            if fault.kind is Kind.STALE:
                answer = self._previous_answers[key] = previous
            elif fault.kind in (Kind.EMPTY, Kind.TRUNCATED, Kind.MALFORMED):
                answer = spoil(fault.kind, operation, request, answer)
        if fault is not None and fault.kind is Kind.LOST_ANSWER:
            await asyncio.sleep(TIME_OUT_SECONDS)
            raise timed_out()
        date = formatdate(self.clock(), usegmt=True)
        metadata = {"HTTPStatusCode": 200, "HTTPHeaders": {"date": date}}
        return {**answer, "ResponseMetadata": metadata}

    def die(self) -> None:
        """End the daemon's process, as an event."""
        raise ProcessDeathError
