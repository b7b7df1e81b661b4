"""The interface of a signal adapter, which reads a declared source and returns dated signals.

A new source takes one file in this package, one spec in `model.spec` and one line in
`registry.SignalReader`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ecs_dynamo.aws.resources.metrics import DataPoint, MetricQuery
from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, Credentials
from ecs_dynamo.discovery.exposition import usable_value
from ecs_dynamo.discovery.fetch import FetchError, fetch_json
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import CloudWatchSource, PrometheusSource

MetricReader = Callable[[MetricQuery], Awaitable[DataPoint | None]]
"""Reads the newest data point of a CloudWatch metric. Raises `AwsError`."""


REQUEST_RATES = frozenset({SignalKind.ARRIVAL_RATE, SignalKind.REJECTION_RATE})
"""Declared kinds whose unit is requests/s; that of all others is requests."""
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""Maximum size of a JSON document; NATS's monitoring lists every consumer of every stream."""


class SignalError(Exception):
    """A source could not be measured. It becomes a condition of the component, never a crash.

    ``partial`` holds the signals of the servers that did answer; each value is a lower bound.
    """

    def __init__(self, message: str, partial: tuple[Signal, ...] = ()) -> None:
        super().__init__(message)
        self.partial = partial


@dataclass(frozen=True, slots=True)
class SignalContext:
    """Everything an adapter may need. ``timeout`` bounds its whole read, in seconds.

    ``planner_namespaces`` are those in which Dynamo's planner may write, the preferred one first.

    A signal's ``observed_at`` is on the monotonic clock: ``now.monotonic_of`` converts the
    timestamps of a source.
    """

    component: Component
    planner_namespaces: tuple[str, ...]
    frontend_urls: tuple[str, ...]
    endpoints: Endpoints
    cloudwatch: MetricReader | None
    now: Now
    timeout: float
    credentials: Credentials = NO_CREDENTIALS


class Adapter(Protocol):
    """A reader of one kind of source."""

    async def read(self, source: Any, context: SignalContext) -> tuple[Signal, ...]:
        """Return the current signals of ``source``. Raises `SignalError`."""
        ...


def declared_kind(source: PrometheusSource | CloudWatchSource) -> tuple[SignalKind, str]:
    """Return what the value of ``source`` measures according to the graph file, and its unit."""
    kind = SignalKind(source.kind)
    return kind, "requests/s" if kind in REQUEST_RATES else "requests"


async def get_json(url: str, timeout: float, **parameters: str) -> Any:
    """Fetch a JSON document from a server that the graph file names. Raises `SignalError`."""
    try:
        return await fetch_json(
            url, timeout=timeout, max_bytes=MAX_DOCUMENT_BYTES, params=parameters, redirects=True
        )
    except (FetchError, TimeoutError) as error:
        raise SignalError(str(error)) from None


def usable(kind: str, value: float) -> float:
    """Return ``value`` if it can be a demand.

    Raises `SignalError` if it is not a number, or is NaN, infinite, negative or too large.
    """
    if not isinstance(value, int | float):
        raise SignalError(f"{kind} is not a number")
    try:
        return usable_value(kind, value)
    except ValueError as error:
        raise SignalError(str(error)) from None
