"""Use NATS through nats-py: health, and a notification if the connection is lost."""

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
AUTHENTICATION_ERRORS = ("authorization", "authentication", "certificate", "ssl", "tls")
"""Parts of the errors that NATS and the TLS library report if either side rejects the other."""


async def _ignore(_: Exception) -> None:
    """Replace the error callback of nats-py, which prints; callers get the errors as exceptions."""


@asynccontextmanager
async def open_nats(
    url: str,
    timeout: float,
    credentials: NatsCredentials = NO_CREDENTIALS.nats,
    on_disconnect: Callable[[], None] = lambda: None,
) -> AsyncIterator[Client]:
    """Open a connection that does not reconnect.

    Raises AuthenticationError if the server rejects ``credentials``, and ConnectionError if it
    cannot be reached.
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
        message = str(error) or type(error).__name__
        rejected = any(part in message.lower() for part in AUTHENTICATION_ERRORS)
        raise (AuthenticationError if rejected else ConnectionError)(f"{url}: {message}") from None
    except UnicodeDecodeError:
        raise ConnectionError(f"{url}: the server that answers is not a NATS server") from None
    except (NkeysError, ValueError, TypeError) as error:
        # The error's own text may contain the secret.
        raise AuthenticationError(
            f"{url}: the declared nkey or credentials cannot be used ({type(error).__name__})"
        ) from None
    try:
        yield client
    finally:
        with suppress(NatsError, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()


async def check_nats(
    url: str, timeout: float, credentials: NatsCredentials = NO_CREDENTIALS.nats
) -> str:
    """Make a round trip to the server and return its description, with the state of JetStream.

    Raises ConnectionError.
    """
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
    """Hold a connection until cancelled.

    If it is lost, call ``on_change`` and raise ConnectionError.
    """
    lost = asyncio.Event()
    async with open_nats(nats_url, CONNECT_SECONDS, credentials, lost.set):
        await lost.wait()
        on_change()
    raise ConnectionError(f"{nats_url}: connection lost")
