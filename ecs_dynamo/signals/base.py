"""The interface of a signal adapter: a declared source in, signals with their age out.

A new source is one file here, one spec in `model.spec` and one line in `registry.ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ecs_dynamo.discovery.access import OPEN, Access
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Signal

CloudWatchCall = Callable[..., Awaitable[dict[str, Any]]]


class SignalError(Exception):
    """A source could not be measured: a condition of the component, never a crash."""


@dataclass(frozen=True, slots=True)
class SignalContext:
    """What an adapter may need. ``now`` is UTC seconds, ``timeout`` bounds its whole read."""

    component: Component
    namespace: str
    frontend_urls: tuple[str, ...]
    endpoints: Endpoints
    cloudwatch: CloudWatchCall | None
    now: float
    timeout: float
    access: Access = OPEN


class Adapter(Protocol):
    """Reads one kind of source."""

    async def read(self, source: Any, context: SignalContext) -> tuple[Signal, ...]:
        """Measure now. Raises `SignalError`."""
        ...


async def get_json(url: str, timeout: float, **parameters: str) -> Any:
    """GET a JSON document. Raises `SignalError`."""
    import aiohttp

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
            session.get(url, params=parameters) as answer,
        ):
            if answer.status != 200:
                raise SignalError(f"{url}: HTTP {answer.status}: {(await answer.text())[:200]}")
            return await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise SignalError(f"{url}: {str(error) or type(error).__name__}") from None
