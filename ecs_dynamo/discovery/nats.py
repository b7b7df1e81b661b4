"""NATS over nats-py: health, and news when the connection is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats
from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError
from nkeys import NkeysError

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, AuthenticationError, NatsCredentials

CONNECT_SECONDS = 3.0
CLOSE_SECONDS = 1.0
REFUSALS = ("authorization", "authentication", "certificate", "ssl", "tls")
"""What NATS and the TLS library say to those who are not let in, or would not go in."""


async def _ignore(_: Exception) -> None:
    """nats-py prints errors unless told where to: the callers see them as exceptions."""


@asynccontextmanager
async def open_nats(
    url: str,
    timeout: float,
    credentials: NatsCredentials = NO_CREDENTIALS.nats,
    on_disconnect: Callable[[], None] = lambda: None,
) -> AsyncIterator[Client]:
    """A connection that is never re-made by itself.

    ConnectionError where there is none, AuthenticationError where the server lets nobody in who has
    ``credentials``.
    """

    async def disconnected() -> None:
        on_disconnect()

    options: dict[str, Any] = {
        "user": credentials.username,
        "password": credentials.password,
        "token": credentials.token,
        "nkeys_seed_str": credentials.nkey,
        "user_credentials": credentials.credentials and RawCredentials(credentials.credentials),
    }
    if url.startswith("tls://"):
        options["tls"] = credentials.tls.context()
        options["tls_hostname"] = credentials.tls.server_name
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
                **{name: value for name, value in options.items() if value is not None},
            )
    except (NatsError, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        refused = any(word in said.lower() for word in REFUSALS)
        raise (AuthenticationError if refused else ConnectionError)(f"{url}: {said}") from None
    except UnicodeDecodeError:
        raise ConnectionError(f"{url}: what answers is no NATS server") from None
    except (NkeysError, ValueError, TypeError) as error:
        # Without its text, which may show what was declared.
        what = f"the declared nkey or credentials can not be used ({type(error).__name__})"
        raise AuthenticationError(f"{url}: {what}") from None
    try:
        yield client
    finally:
        with suppress(NatsError, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()


async def check_nats(
    url: str, timeout: float, credentials: NatsCredentials = NO_CREDENTIALS.nats
) -> str:
    """A round trip through the server, and whether JetStream is on."""
    async with open_nats(url, timeout, credentials) as client:
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


async def watch_nats(
    nats_url: str, on_change: Callable[[], None], credentials: NatsCredentials = NO_CREDENTIALS.nats
) -> None:
    """Keep a connection until cancelled; ConnectionError, and ``on_change``, when it is lost."""
    lost = asyncio.Event()
    async with open_nats(nats_url, CONNECT_SECONDS, credentials, lost.set):
        await lost.wait()
        on_change()
    raise ConnectionError(f"{nats_url}: connection lost")
