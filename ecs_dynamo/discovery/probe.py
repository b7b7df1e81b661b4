"""Health checks of replicas at their private addresses, many at once, each with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from ecs_dynamo.discovery.access import OPEN, Access, AccessRefusedError
from ecs_dynamo.discovery.etcd import check_etcd
from ecs_dynamo.discovery.nats import check_nats
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import Probe

AT_ONCE = 64


async def _check_frontend(url: str, timeout: float) -> tuple[str, ...]:
    """Models served. `/live` alone is not enough: it is fine with no worker at all."""
    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit) as session:
        async with session.get(f"{url}/live") as answer:
            if answer.status != 200:
                raise ConnectionError(f"{url}/live: HTTP {answer.status}")
        async with session.get(f"{url}/v1/models") as answer:
            if answer.status != 200:
                raise ConnectionError(f"{url}/v1/models: HTTP {answer.status}")
            listed = await answer.json()
    return tuple(sorted(str(model["id"]) for model in listed.get("data", ())))


async def probe(role: Role, url: str, timeout: float, access: Access = OPEN) -> Probe:
    """The answer of one replica; never raises for one that does not answer."""
    if access.problem is not None and role in (Role.ETCD, Role.NATS):
        return Probe(url, False, access.problem, refused=True)
    try:
        match role:
            case Role.ETCD:
                return Probe(url, True, await check_etcd(url, timeout, access.etcd))
            case Role.NATS:
                return Probe(url, True, await check_nats(url, timeout, access.nats))
            case Role.FRONTEND:
                models = await _check_frontend(url, timeout)
                return Probe(url, True, f"serves {', '.join(models) or 'no model'}", models)
            case _:
                raise ValueError(f"no health check for the role {role}")
    except AccessRefusedError as error:
        return Probe(url, False, str(error), refused=True)
    except (ConnectionError, TimeoutError, aiohttp.ClientError, OSError) as error:
        return Probe(url, False, str(error) or type(error).__name__)
    except (KeyError, TypeError, AttributeError) as error:
        return Probe(url, False, f"answered in an unexpected shape: {error}")


async def probe_all(
    targets: Mapping[tuple[str, Role], str], timeout: float, access: Access = OPEN
) -> dict[tuple[str, Role], Probe]:
    """Probe every target (task ARN and role -> URL) at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(role: Role, url: str) -> Probe:
        async with gate:
            return await probe(role, url, timeout, access)

    answers = await asyncio.gather(*(one(role, url) for (_, role), url in targets.items()))
    return dict(zip(targets, answers, strict=True))
