"""Read the counts that Dynamo's own planner publishes for environments other than Kubernetes.

Its virtual connector (Dynamo 1.6.1) writes ASCII integers under ``v1/{namespace}/planner/``:
``num_prefill_workers``, ``num_decode_workers`` and, last, ``decision_id``. The orchestrator writes
the id of the decision it has reached to ``scaled_decision_id``; until then the planner makes no new
decision. The keys are attached to the planner's lease. An acknowledgement that outlived its planner
would satisfy the next planner's first decision, so it is attached to the same lease, and written
only if a decision exists.

A planner uses exactly its own ``DYN_NAMESPACE``, so that each generation of workers has keys of its
own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, EtcdCredentials
from ecs_dynamo.discovery.etcd import open_etcd, pick_server, read_prefix
from ecs_dynamo.discovery.exposition import MAX_VALUE
from ecs_dynamo.discovery.fetch import quoted
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.signals.base import SignalContext, SignalError

COUNT_KEYS = {
    Role.PREFILL: "num_prefill_workers",
    Role.DECODE: "num_decode_workers",
    Role.WORKER: "num_decode_workers",
}
DECISION_KEY = "decision_id"
ACKNOWLEDGED_KEY = "scaled_decision_id"
KEYS = frozenset({*COUNT_KEYS.values(), DECISION_KEY, ACKNOWLEDGED_KEY})


def _prefix(namespace: str) -> str:
    return f"v1/{namespace}/planner/"


@dataclass(frozen=True, slots=True)
class _Keys:
    """The planner's keys without their prefix. ``lease`` is the decision's lease, or 0 for none."""

    namespace: str
    values: Mapping[str, int]
    lease: int

    @property
    def decision(self) -> int:
        return self.values.get(DECISION_KEY, -1)


async def _read(url: str, namespace: str, timeout: float, credentials: EtcdCredentials) -> _Keys:
    prefix = _prefix(namespace)
    try:
        async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
            pairs = (await read_prefix(client, prefix)).pairs
    except ConnectionError as error:
        raise SignalError(str(error)) from None
    values: dict[str, int] = {}
    lease = 0
    for pair in pairs:
        name = pair.key.removeprefix(prefix)
        if name not in KEYS:
            continue
        if name == DECISION_KEY:
            lease = pair.lease
        try:
            values[name] = int(pair.value)
        except ValueError:
            raise SignalError(f"{pair.key}: {quoted(pair.value)} is not an integer") from None
        if abs(values[name]) > MAX_VALUE:
            raise SignalError(f"{pair.key}: {quoted(pair.value)} is too large")
    return _Keys(namespace, values, lease)


async def _read_first(
    url: str, namespaces: tuple[str, ...], timeout: float, credentials: EtcdCredentials
) -> _Keys:
    """Return the keys in the first of ``namespaces`` that has a decision, or else in the last."""
    for namespace in namespaces:
        keys = await _read(url, namespace, timeout, credentials)
        if keys.decision >= 0:
            break
    return keys


async def _server(urls: str, timeout: float, credentials: EtcdCredentials) -> str:
    try:
        return await pick_server(urls, timeout, credentials)
    except ConnectionError as error:
        raise SignalError(str(error)) from None


class PlannerAdapter:
    """Reader of the planner's current decision."""

    async def read(self, source: object, context: SignalContext) -> tuple[Signal, ...]:
        """Return the replica count that the planner's newest decision asks for."""
        del source
        urls = context.endpoints.etcd
        if urls is None:
            raise SignalError("no etcd replica answers")
        url = await _server(urls, context.timeout, context.credentials.etcd)
        namespaces = context.planner_namespaces
        keys = await _read_first(url, namespaces, context.timeout, context.credentials.etcd)
        if keys.decision < 0:
            raise SignalError("Dynamo's planner has published no decision")
        key = next((COUNT_KEYS[r] for r in COUNT_KEYS if r in context.component.roles), None)
        if key is None or keys.values.get(key, -1) < 0:
            raise SignalError(f"Dynamo's planner has published no {key or 'count for this role'}")
        return (
            Signal(
                context.component.name,
                SignalKind.DESIRED_REPLICAS,
                float(keys.values[key]),
                "replicas",
                context.now.monotonic,
                "planner",
            ),
        )


async def acknowledge(
    urls: str,
    namespaces: tuple[str, ...],
    timeout: float,
    credentials: EtcdCredentials = NO_CREDENTIALS.etcd,
) -> int | None:
    """Report to the planner that its newest decision is reached.

    ``namespaces`` are those of `model.generations.planner_namespaces`. Return the decision's id, or
    None if there is no decision. Raises `SignalError`.
    """
    url = await _server(urls, timeout, credentials)
    keys = await _read_first(url, namespaces, timeout, credentials)
    if keys.decision < 0:
        return None
    if keys.values.get(ACKNOWLEDGED_KEY) == keys.decision:
        return keys.decision
    try:
        async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
            key = f"{_prefix(keys.namespace)}{ACKNOWLEDGED_KEY}"
            value = str(keys.decision).encode()
            await client.put(key.encode(), value, lease=keys.lease or None)
    except ConnectionError as error:
        raise SignalError(str(error)) from None
    return keys.decision
