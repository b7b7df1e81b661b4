"""Use etcd over its v3 API (aetcd): health, and the instances that Dynamo's workers register.

Dynamo 1.6.1 writes the keys ``v1/instances/{namespace}/{component}/{endpoint}/{lease}``, with the
lease id in hexadecimal. The value is JSON whose ``transport.tcp`` is ``{ip}:{port}/{lease}/...``.
Each worker also writes a model card (see `cards`). The keys vanish with the worker's lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aetcd
from aetcd import rpc

from ecs_dynamo.discovery.cards import CARDS, parse_card
from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, AuthenticationError, EtcdCredentials
from ecs_dynamo.discovery.etcd_client import make_client
from ecs_dynamo.discovery.fetch import parse_json, quoted
from ecs_dynamo.discovery.namespaces import list_namespaces
from ecs_dynamo.model.dynamo.discovery import (
    Registration,
)
from ecs_dynamo.model.generations import SUFFIX_START, is_own_namespace, shorter_namespaces
from ecs_dynamo.model.snapshot import (
    Observed,
    Unknown,
)

T = TypeVar("T")

INSTANCES = "v1/instances"
AUTHENTICATION_ERRORS = (
    "authentication failed",
    "invalid auth token",
    "user name is empty",
    "permission denied",
    "handshake failed",
    "hostname verification check failed",
    "certificate",
)
"""Parts of the errors that etcd and gRPC report, in any letter case, if either side rejects the
other's credentials or certificate."""
PAGE_KEYS = 500
MAX_VALUE_BYTES = 256 * 1024
"""Maximum size of a value: an instance (Dynamo 1.6.1) has a few hundred bytes, a model card
about ten KiB."""
MAX_PREFIX_BYTES = 32 * 1024 * 1024
ALIVE_SECONDS = 2.0
"""How often a watch checks that its server still answers: a dead server just sends nothing."""


@asynccontextmanager
async def open_etcd(
    url: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> AsyncIterator[Any]:
    """Connect to the one server at ``url`` and yield the client.

    Raises AuthenticationError if the server rejects ``credentials``, and ConnectionError if it
    cannot be reached.
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
        message = str(error) or type(error).__name__
        rejected = any(part in message.lower() for part in AUTHENTICATION_ERRORS)
        raise (AuthenticationError if rejected else ConnectionError)(f"{url}: {message}") from None
    finally:
        try:
            async with asyncio.timeout(1.0):
                await client.close()
        except (aetcd.ClientError, TimeoutError, OSError, AttributeError):
            pass  # The connection is abandoned either way.


async def pick_server(
    urls: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> str:
    """Return the first server of a comma-separated list that answers.

    A single server is returned without a check. Raises ConnectionError if none answers.
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
    """Make a linearizable read, which needs a quorum, as `etcdctl endpoint health` does.

    Return a description of the healthy server. "Permission denied" counts as healthy, as it does
    for etcdctl. Raises ConnectionError.
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
    """One etcd key with its value and the id of the lease it is attached to (0 for none)."""

    key: str
    value: bytes
    lease: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The usable keys under a prefix. ``malformed`` explains each of the others.

    ``size`` is the size of all keys and values, in bytes.
    """

    pairs: tuple[Pair, ...]
    malformed: tuple[str, ...] = ()
    size: int = 0


async def read_prefix(client: Any, prefix: str, max_bytes: int = MAX_PREFIX_BYTES) -> Keys:
    """Read the keys under ``prefix`` in order, page by page, all at one revision.

    Anyone who can reach an etcd can write to it. Keys that are not UTF-8, and values larger than
    `MAX_VALUE_BYTES`, are therefore left out and reported as malformed. Raises ConnectionError if
    the keys and values exceed ``max_bytes`` in total. Source: etcd's API reference, message
    RangeRequest.
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
            return Keys(tuple(pairs), tuple(malformed), size)
        key = page.kvs[-1].key + b"\0"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The workers of a graph in Dynamo's discovery, in the namespaces of all its generations.

    ``malformed`` explains each unusable key. ``namespaces`` are all namespaces in that etcd that
    start with the graph's own, and those of graphs whose generations' prefix matches it.
    """

    registrations: Observed[tuple[Registration, ...]]
    malformed: tuple[str, ...] = ()
    namespaces: Observed[frozenset[str]] = frozenset()


def parse_registration(key: str, value: bytes) -> Registration | None:
    """Return the registered instance, or None if the key's shape is not that of an instance.

    Raises ValueError if the value is unusable.
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
    """Return the IP address that the instance advertises; the NATS request plane has none."""
    document = parse_json(value)
    if not isinstance(document, dict) or "transport" not in document:
        raise ValueError("the registration has no transport")
    transport = document["transport"]
    text = transport.get("tcp", "") if isinstance(transport, dict) else ""
    if not isinstance(text, str):
        raise ValueError("the tcp transport is not a text")
    return urlsplit(f"//{text}").hostname or None


async def read_registrations(
    etcd_url: str,
    namespace: str,
    timeout: float,
    credentials: EtcdCredentials = NO_CREDENTIALS.etcd,
    workers: Iterable[str] = (),
) -> Discovery:
    """Read the instances of the graph with ``namespace``, each with its model card.

    They are in ``namespace``, in those of all generations of the graph that etcd has, and in
    ``workers``, the namespaces of the known workers. ``etcd_url`` is a comma-separated list; the
    registrations are `Unknown` if no server answers.
    """
    known = {namespace, *workers}
    reasons: list[str] = []
    for url in etcd_url.split(","):
        try:
            async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
                return await _read_all(client, namespace, known)
        except ConnectionError as error:
            reasons.append(str(error))
        except Exception as error:
            reasons.append(f"{url}: the answer cannot be read ({type(error).__name__})")
    reason = Unknown("; ".join(reasons))
    return Discovery(reason, namespaces=reason)


async def _read_all(client: Any, namespace: str, known: set[str]) -> Discovery:
    """Read the registrations in the namespaces ``known`` and in those of other generations.

    Raises ConnectionError. A failure to list namespaces is not one: etcd may permit reading only
    the graph's own.
    """
    namespaces: Observed[frozenset[str]]
    try:
        # Generations of graphs with a shorter name: their frontends may serve this graph's workers.
        starts = (namespace, *(f"{n}-{SUFFIX_START}" for n in shorter_namespaces(namespace)))
        roots = CARDS, INSTANCES
        listed = [await list_namespaces(client, r, start) for start in starts for r in roots]
        namespaces = frozenset[str]().union(*listed)
    except ConnectionError as error:
        namespaces = Unknown(str(error))
    else:
        known = known | {n for n in namespaces if is_own_namespace(namespace, n)}
    # The cards come first: a worker writes its card before it registers, and loses both at once.
    cards = await _read_namespaces(client, CARDS, known)
    instances = await _read_namespaces(client, INSTANCES, known)
    return replace(_with_cards(instances, cards), namespaces=namespaces)


async def _read_namespaces(client: Any, root: str, namespaces: Iterable[str]) -> Keys:
    """Read the keys of several namespaces, of at most `MAX_PREFIX_BYTES` together."""
    every = Keys(())
    for name in sorted(namespaces):
        keys = await read_prefix(client, f"{root}/{name}/", MAX_PREFIX_BYTES - every.size)
        every = Keys(
            (*every.pairs, *keys.pairs),
            (*every.malformed, *keys.malformed),
            every.size + keys.size,
        )
    return every


def _with_cards(instances: Keys, cards: Keys) -> Discovery:
    parsed_cards, malformed_cards = _parse_all(cards, parse_card)
    registrations, malformed_instances = _parse_all(instances, parse_registration)
    card_by_worker = dict(parsed_cards)
    with_cards = (
        replace(r, card=card_by_worker.get((r.namespace, r.component, r.endpoint, r.lease_id)))
        for r in registrations
    )
    return Discovery(
        tuple(sorted(with_cards, key=lambda r: r.lease_id)),
        (*instances.malformed, *cards.malformed, *malformed_cards, *malformed_instances),
    )


def _parse_all(keys: Keys, parse: Callable[[str, bytes], T | None]) -> tuple[list[T], list[str]]:
    """Return the parsed values that are not None, and the errors of unusable keys."""
    parsed: list[T] = []
    errors: list[str] = []
    for pair in keys.pairs:
        try:
            value = parse(pair.key, pair.value)
        except ValueError as error:
            errors.append(f"etcd key {pair.key}: {error}")
        else:
            parsed += [] if value is None else [value]
    return parsed, errors


async def watch_instances(
    etcd_url: str,
    namespace: str,
    on_change: Callable[[], None],
    credentials: EtcdCredentials = NO_CREDENTIALS.etcd,
) -> None:
    """Call ``on_change`` whenever an instance registers or disappears, until cancelled.

    The instances are those in ``namespace`` and of all generations of its graph.
    Raises ConnectionError if the server is lost; the caller starts the watch again.
    """
    url = await pick_server(etcd_url, ALIVE_SECONDS, credentials)
    async with open_etcd(url, ALIVE_SECONDS, credentials) as client:
        prefixes = (f"{namespace}/", f"{namespace}-{SUFFIX_START}")
        watches = [await client.watch_prefix(f"{INSTANCES}/{p}".encode()) for p in prefixes]

        async def follow(watch: Any) -> None:
            async for _ in watch:
                on_change()

        following = [asyncio.create_task(follow(watch)) for watch in watches]
        try:
            ended: set[asyncio.Task[None]] = set()
            while not ended:
                ended, _ = await asyncio.wait(
                    following, timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                async with asyncio.timeout(ALIVE_SECONDS):
                    await client.status()
            for task in ended:
                task.result()
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
