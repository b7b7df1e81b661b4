"""NATS over nats-py: health, and news when the connection is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

CONNECT_SECONDS = 3.0
CLOSE_SECONDS = 1.0


async def _ignore(_: Exception) -> None:
    """nats-py prints errors unless told where to: the callers see them as exceptions."""


@asynccontextmanager
async def open_nats(
    url: str, timeout: float, on_disconnect: Callable[[], None] = lambda: None
) -> AsyncIterator[Client]:
    """A connection that is never re-made by itself. ConnectionError where there is none."""

    async def disconnected() -> None:
        on_disconnect()

    try:
        async with asyncio.timeout(timeout):
            client = await nats.connect(
                url,
                name="ecs-dynamo",
                allow_reconnect=False,
                connect_timeout=max(1, round(timeout)),
                error_cb=_ignore,
                disconnected_cb=disconnected,
                closed_cb=disconnected,
            )
    except (NatsError, TimeoutError, OSError) as error:
        raise ConnectionError(f"{url}: {str(error) or type(error).__name__}") from None
    try:
        yield client
    finally:
        with suppress(NatsError, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()


async def check_nats(url: str, timeout: float) -> str:
    """A round trip through the server, and whether JetStream is on."""
    async with open_nats(url, timeout) as client:
        try:
            async with asyncio.timeout(timeout):
                await client.flush()
        except (NatsError, TimeoutError) as error:
            raise ConnectionError(f"{url}: {str(error) or type(error).__name__}") from None
        try:
            async with asyncio.timeout(timeout):
                account = await client.jetstream().account_info()
        except (NatsError, TimeoutError):
            return "answers; JetStream is off"
        return f"answers; JetStream has {account.streams} streams, {account.consumers} consumers"


async def watch_nats(nats_url: str, on_change: Callable[[], None]) -> None:
    """Keep a connection until cancelled; ConnectionError, and ``on_change``, when it is lost."""
    lost = asyncio.Event()
    async with open_nats(nats_url, CONNECT_SECONDS, lost.set):
        await lost.wait()
        on_change()
    raise ConnectionError(f"{nats_url}: connection lost")
