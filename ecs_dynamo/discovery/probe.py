"""Check the health of replicas at their private addresses, concurrently and in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from ecs_dynamo.common.concurrency import map_concurrently
from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, AuthenticationError, Credentials
from ecs_dynamo.discovery.etcd import check_etcd
from ecs_dynamo.discovery.fetch import MalformedError, fetch_json, fetch_status, quoted
from ecs_dynamo.discovery.nats import check_nats
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import Probe

_log = structlog.get_logger(__name__)

MAX_CONCURRENT = 64
MODEL_ID_LENGTH = 512
CONNECT_SECONDS = 1.0


async def _check_frontend(url: str, timeout: float) -> tuple[str, ...]:
    """Return the served models. `/live` is not enough: it succeeds without any worker."""
    models_url = f"{url}/v1/models"
    async with asyncio.timeout(timeout):
        await fetch_status(f"{url}/live", timeout=timeout)
        document = await fetch_json(models_url, timeout=timeout)
    try:
        models = {_model_id(model) for model in document["data"] or ()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedError(f"{models_url}: the answer has an unexpected shape: {error}") from None
    return tuple(sorted(models))


def _model_id(model: Any) -> str:
    name = model["id"]
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MODEL_ID_LENGTH:
        raise ValueError(f"the model id {quoted(str(name))}")
    return name


async def host_answers(url: str) -> bool:
    """Return whether the host accepts or refuses a TCP connection; both prove it is reachable.

    Packets that a security group drops, and those to a private IP from outside its VPC, are never
    answered.
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
    """Check one replica. Never raises for a replica that does not answer."""
    if credentials.problem is not None and role in (Role.ETCD, Role.NATS):
        return Probe(url, healthy=False, detail=credentials.problem, refused=True)
    try:
        match role:
            case Role.ETCD:
                return Probe(
                    url, healthy=True, detail=await check_etcd(url, timeout, credentials.etcd)
                )
            case Role.NATS:
                return Probe(
                    url, healthy=True, detail=await check_nats(url, timeout, credentials.nats)
                )
            case Role.FRONTEND:
                models = await _check_frontend(url, timeout)
                return Probe(
                    url,
                    healthy=True,
                    detail=f"serves {', '.join(models) or 'no model'}",
                    models=models,
                )
            case _:
                raise ValueError(f"there is no health check for the role {role}")
    except AuthenticationError as error:
        return Probe(url, healthy=False, detail=str(error), refused=True)
    except (ConnectionError, TimeoutError, OSError) as error:
        detail = str(error) or f"{url}: no complete answer within {timeout:g} s"
        reachable = await host_answers(url)
        late = isinstance(error, TimeoutError)
        return Probe(
            url, healthy=False, detail=detail, unreachable=not reachable, silent=reachable and late
        )
    except Exception as error:
        # The clients of etcd and NATS fail on some answers of other servers; that must affect this
        # replica only.
        _log.debug("probe failed", url=url, exc_info=True)
        return Probe(
            url, healthy=False, detail=f"{url}: the answer cannot be read ({type(error).__name__})"
        )


async def probe_all(
    targets: Mapping[tuple[str, Role], str],
    timeout: float,
    credentials: Credentials = NO_CREDENTIALS,
) -> dict[tuple[str, Role], Probe]:
    """Check all targets (task ARN or external URL, and role -> URL) concurrently."""

    async def check(target: tuple[str, Role]) -> Probe:
        _, role = target
        return await probe(role, targets[target], timeout, credentials)

    probes = await map_concurrently(check, targets, limit=MAX_CONCURRENT)
    return dict(zip(targets, probes, strict=True))
