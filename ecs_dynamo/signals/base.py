"""The interface of a signal adapter: a declared source in, signals with their age out.

A new source is one file here, one spec in `model.spec` and one line in `registry.ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, Credentials
from ecs_dynamo.discovery.exposition import usable_value
from ecs_dynamo.discovery.fetch import FetchError, fetch_json
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Signal

CloudWatchCall = Callable[..., Awaitable[dict[str, Any]]]


ANSWER_BYTES = 4 * 1024 * 1024
"""NATS's monitoring lists every consumer of every stream in one document."""


class SignalError(Exception):
    """A source could not be measured: a condition of the component, never a crash.

    ``partial`` are signals of what could be, where that is a lower bound.
    """

    def __init__(self, message: str, partial: tuple[Signal, ...] = ()) -> None:
        super().__init__(message)
        self.partial = partial


@dataclass(frozen=True, slots=True)
class SignalContext:
    """What an adapter may need. ``timeout`` bounds its whole read, in seconds.

    A signal's ``observed_at`` is on the monotonic clock: timestamps that a source gives are put
    there with ``now.monotonic_of``.
    """

    component: Component
    namespace: str
    frontend_urls: tuple[str, ...]
    endpoints: Endpoints
    cloudwatch: CloudWatchCall | None
    now: Now
    timeout: float
    credentials: Credentials = NO_CREDENTIALS


class Adapter(Protocol):
    """Reads one kind of source."""

    async def read(self, source: Any, context: SignalContext) -> tuple[Signal, ...]:
        """Measure now. Raises `SignalError`."""
        ...


async def get_json(url: str, timeout: float, **parameters: str) -> Any:
    """GET a JSON document of a server that the graph file names. Raises `SignalError`."""
    try:
        return await fetch_json(
            url, timeout=timeout, max_bytes=ANSWER_BYTES, params=parameters, redirects=True
        )
    except (FetchError, TimeoutError) as error:
        raise SignalError(str(error)) from None


def usable(kind: str, value: float) -> float:
    """``value`` as a demand. Raises `SignalError` for NaN, infinite, negative, absurd values."""
    if not isinstance(value, int | float):
        raise SignalError(f"{kind} is no number")
    try:
        return usable_value(kind, value)
    except ValueError as error:
        raise SignalError(str(error)) from None
