"""etcd over its v3 API (aetcd): health, and the instances that Dynamo's workers register.

Key layout, as Dynamo 1.6.1 writes it: ``v1/instances/{namespace}/{component}/{endpoint}/{lease}``
with the lease id in hexadecimal; the value is JSON whose ``transport.tcp`` is
``{ip}:{port}/{lease}/...``. The worker's model card is beside it (`cards`). Keys vanish with the
worker's lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import aetcd
from aetcd import rpc

from ecs_dynamo.discovery.cards import CARDS, parse_card
from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, AuthenticationError, EtcdCredentials
from ecs_dynamo.discovery.etcd_client import make_client
from ecs_dynamo.discovery.fetch import parse_json, quoted
from ecs_dynamo.model.snapshot import ModelCard, Observed, Registration, Unknown

INSTANCES = "v1/instances"
REFUSALS = (
    "authentication failed",
    "invalid auth token",
    "user name is empty",
    "permission denied",
    "handshake failed",
    "hostname verification check failed",
    "certificate",
)
"""What etcd and gRPC say, in whatever case, to those who are not let in, or would not go in."""
PAGE_KEYS = 500
MAX_VALUE_BYTES = 256 * 1024
"""An instance of Dynamo 1.6.1 takes some hundred bytes, a model card some ten KiB."""
MAX_PREFIX_BYTES = 32 * 1024 * 1024
ALIVE_SECONDS = 2.0
"""How often a watch makes sure that its server is still there: a dead one sends nothing."""


@asynccontextmanager
async def open_etcd(
    url: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> AsyncIterator[Any]:
    """A client of the one server at ``url``.

    ConnectionError where it can not be reached, AuthenticationError where it lets nobody in who has
    ``credentials``.
    """
    parts = urlsplit(url)
    client = make_client(
        parts.hostname or "",
        parts.port or 2379,
        max(1, round(timeout)),
        credentials,
        secure=parts.scheme == "https",
    )
    try:
        async with asyncio.timeout(timeout):
            await client.connect()
        yield client
    except (aetcd.ClientError, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        refused = any(word in said.lower() for word in REFUSALS)
        raise (AuthenticationError if refused else ConnectionError)(f"{url}: {said}") from None
    finally:
        try:
            async with asyncio.timeout(1.0):
                await client.close()
        except (aetcd.ClientError, TimeoutError, OSError, AttributeError):
            pass  # It is given up either way.


async def pick_server(
    urls: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> str:
    """The first of a comma-separated list that answers; one alone is taken as it is.

    ConnectionError where none does.
    """
    first, *more = urls.split(",")
    if not more:
        return first
    reasons: list[str] = []
    for url in (first, *more):
        try:
            await check_etcd(url, timeout, credentials)
        except ConnectionError as error:
            reasons.append(str(error))
        else:
            return url
    raise ConnectionError("; ".join(reasons))


async def check_etcd(
    url: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> str:
    """A linearizable read, which needs a quorum, as `etcdctl endpoint health` makes it.

    As for that, a user who may not read this key has been answered by a healthy server.
    """
    async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
        try:
            await client.get(b"health")
        except aetcd.ClientError as error:
            if "permission denied" not in str(error):
                raise
    return "answers a linearizable read"


@dataclass(frozen=True, slots=True)
class Pair:
    """One key of etcd's, with the lease that it lives on (0 for none)."""

    key: str
    value: bytes
    lease: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The usable keys under a prefix, and of each of the others why it is none."""

    pairs: tuple[Pair, ...]
    malformed: tuple[str, ...] = ()


async def read_prefix(client: Any, prefix: str, max_bytes: int = MAX_PREFIX_BYTES) -> Keys:
    """The keys under ``prefix``, in order, page by page, as they were at one revision.

    Anyone who can reach an etcd can write to it: keys that are not UTF-8, and values larger than
    `MAX_VALUE_BYTES`, are told of and left out. ConnectionError where all of them together are
    larger than ``max_bytes``. (etcd's API reference, message RangeRequest.)
    """
    key, end = prefix.encode(), aetcd.utils.prefix_range_end(prefix.encode())
    pairs: list[Pair] = []
    malformed: list[str] = []
    size = revision = 0
    while True:
        request = rpc.RangeRequest(key=key, range_end=end, limit=PAGE_KEYS, revision=revision)
        try:
            page = await client.kvstub.Range(request, metadata=client.metadata)
        except rpc.AioRpcError as error:
            raise ConnectionError(error.details() or str(error.code())) from None
        revision = page.header.revision
        for kv in page.kvs:
            size += len(kv.key) + len(kv.value)
            try:
                name = kv.key.decode()
            except UnicodeDecodeError:
                malformed.append(f"etcd key {quoted(kv.key)}: not UTF-8 text")
                continue
            if len(kv.value) > MAX_VALUE_BYTES:
                malformed.append(f"etcd key {quoted(name)}: larger than {MAX_VALUE_BYTES} bytes")
                continue
            pairs.append(Pair(name, kv.value, kv.lease))
        if size > max_bytes:
            raise ConnectionError(f"more than {max_bytes} bytes under the etcd prefix {prefix}")
        if not page.more or not page.kvs:
            return Keys(tuple(pairs), tuple(malformed))
        key = page.kvs[-1].key + b"\0"


@dataclass(frozen=True, slots=True)
class Discovery:
    """What Dynamo's discovery lists, and which of its keys cannot be used, and why."""

    registrations: Observed[tuple[Registration, ...]]
    malformed: tuple[str, ...] = ()


def parse_registration(key: str, value: bytes) -> Registration | None:
    """One registered instance; None for a key of another shape (it is not an instance).

    Raises ValueError for an instance whose value cannot be used.
    """
    parts = key.split("/")
    if len(parts) != 6 or "/".join(parts[:2]) != INSTANCES:
        return None
    _, _, namespace, component, endpoint, lease = parts
    try:
        lease_id = int(lease, 16)
    except ValueError:
        return None
    return Registration(namespace, component, endpoint, lease_id, _address(value))


def _address(value: bytes) -> str | None:
    """The IP that the instance advertises; None on the NATS plane, which needs none."""
    document = parse_json(value)
    if not isinstance(document, dict) or "transport" not in document:
        raise ValueError("a registration without a transport")
    transport = document["transport"]
    text = transport.get("tcp", "") if isinstance(transport, dict) else ""
    if not isinstance(text, str):
        raise ValueError("its tcp transport is no text")
    return urlsplit(f"//{text}").hostname or None


async def read_registrations(
    etcd_url: str,
    namespace: str,
    timeout: float,
    credentials: EtcdCredentials = NO_CREDENTIALS.etcd,
) -> Discovery:
    """The instances registered in ``namespace``, each with its model card.

    `Unknown` where no server of the list answers.
    """
    reasons: list[str] = []
    for url in etcd_url.split(","):
        try:
            async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
                # Cards first: a worker writes its card before it registers, and loses both at once.
                beside = await read_prefix(client, f"{CARDS}/{namespace}/")
                found = await read_prefix(client, f"{INSTANCES}/{namespace}/")
        except ConnectionError as error:
            reasons.append(str(error))
            continue
        except Exception as error:
            reasons.append(f"{url}: its answer cannot be read ({type(error).__name__})")
            continue
        parsed: list[Registration] = []
        malformed = [*found.malformed, *beside.malformed]
        cards: dict[tuple[str, str, int], ModelCard] = {}
        for pair in beside.pairs:
            try:
                card = parse_card(pair.key, pair.value)
            except ValueError as error:
                malformed.append(f"etcd key {pair.key}: {error}")
            else:
                cards |= [card] if card is not None else []
        for pair in found.pairs:
            try:
                one = parse_registration(pair.key, pair.value)
            except ValueError as error:
                malformed.append(f"etcd key {pair.key}: {error}")
            else:
                if one is not None:
                    card_of = cards.get((one.component, one.endpoint, one.lease_id))
                    parsed.append(replace(one, card=card_of))
        return Discovery(tuple(sorted(parsed, key=lambda p: p.lease_id)), tuple(malformed))
    return Discovery(Unknown("; ".join(reasons)))


async def watch_instances(
    etcd_url: str,
    namespace: str,
    on_change: Callable[[], None],
    credentials: EtcdCredentials = NO_CREDENTIALS.etcd,
) -> None:
    """Call ``on_change`` whenever an instance comes or goes, until cancelled.

    ConnectionError when the server is gone; the caller re-arms.
    """
    url = await pick_server(etcd_url, ALIVE_SECONDS, credentials)
    async with open_etcd(url, ALIVE_SECONDS, credentials) as client:
        watch = await client.watch_prefix(f"{INSTANCES}/{namespace}/".encode())

        async def follow() -> None:
            async for _ in watch:
                on_change()

        following = asyncio.create_task(follow())
        try:
            while not following.done():
                await asyncio.wait({following}, timeout=ALIVE_SECONDS)
                async with asyncio.timeout(ALIVE_SECONDS):
                    await client.status()
            following.result()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
