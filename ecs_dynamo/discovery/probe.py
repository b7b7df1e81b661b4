"""Health checks of replicas at their private addresses, many at once, each with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, AuthenticationError, Credentials
from ecs_dynamo.discovery.etcd import check_etcd
from ecs_dynamo.discovery.fetch import MalformedError, fetch_json, fetch_status, quoted
from ecs_dynamo.discovery.nats import check_nats
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import Probe

_log = structlog.get_logger(__name__)

AT_ONCE = 64
MODEL_ID_LENGTH = 512
CONNECT_SECONDS = 1.0


async def _check_frontend(url: str, timeout: float) -> tuple[str, ...]:
    """Models served. `/live` alone is not enough: it is fine with no worker at all."""
    listing = f"{url}/v1/models"
    async with asyncio.timeout(timeout):
        await fetch_status(f"{url}/live", timeout=timeout)
        listed = await fetch_json(listing, timeout=timeout)
    try:
        models = {_model_id(model) for model in listed["data"] or ()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedError(f"{listing}: answered in an unexpected shape: {error}") from None
    return tuple(sorted(models))


def _model_id(model: Any) -> str:
    name = model["id"]
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MODEL_ID_LENGTH:
        raise ValueError(f"the model id {quoted(str(name))}")
    return name


async def host_answers(url: str) -> bool:
    """Whether the host accepts or refuses a TCP connection: either way it can be reached.

    Packets that a security group drops, and those to a private IP from outside its VPC, are
    never answered.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):  # TimeoutError is an OSError.
        return False
    writer.close()
    return True


async def probe(
    role: Role, url: str, timeout: float, credentials: Credentials = NO_CREDENTIALS
) -> Probe:
    """The answer of one replica; never raises for one that does not answer."""
    if credentials.problem is not None and role in (Role.ETCD, Role.NATS):
        return Probe(url, False, credentials.problem, refused=True)
    try:
        match role:
            case Role.ETCD:
                return Probe(url, True, await check_etcd(url, timeout, credentials.etcd))
            case Role.NATS:
                return Probe(url, True, await check_nats(url, timeout, credentials.nats))
            case Role.FRONTEND:
                models = await _check_frontend(url, timeout)
                return Probe(url, True, f"serves {', '.join(models) or 'no model'}", models)
            case _:
                raise ValueError(f"no health check for the role {role}")
    except AuthenticationError as error:
        return Probe(url, False, str(error), refused=True)
    except (ConnectionError, TimeoutError, OSError) as error:
        detail = str(error) or f"{url}: no whole answer within {timeout:g} s"
        there = await host_answers(url)
        late = isinstance(error, TimeoutError)
        return Probe(url, False, detail, unreachable=not there, silent=there and late)
    except Exception as error:
        # The clients of etcd and NATS trip over some of what is neither: it costs this replica.
        _log.debug("probe failed", url=url, exc_info=True)
        return Probe(url, False, f"{url}: its answer cannot be read ({type(error).__name__})")


async def probe_all(
    targets: Mapping[tuple[str, Role], str],
    timeout: float,
    credentials: Credentials = NO_CREDENTIALS,
) -> dict[tuple[str, Role], Probe]:
    """Probe every target (task ARN and role -> URL) at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(role: Role, url: str) -> Probe:
        async with gate:
            return await probe(role, url, timeout, credentials)

    answers = await asyncio.gather(*(one(role, url) for (_, role), url in targets.items()))
    return dict(zip(targets, answers, strict=True))
