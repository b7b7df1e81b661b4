"""The counts that Dynamo's own planner publishes for environments that are not Kubernetes.

Its virtual connector (Dynamo 1.6.1) writes ASCII integers under ``v1/{namespace}/planner/``:
``num_prefill_workers``, ``num_decode_workers`` and, last, ``decision_id``; whoever scales writes
the id that it reached to ``scaled_decision_id``, and until then the planner decides nothing new.
The keys live on the planner's lease. An acknowledgement that outlived its planner would satisfy
the next planner's first decision, so one is only written for a decision that is there.
"""

from __future__ import annotations

import asyncio

from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.signals.base import SignalContext, SignalError

COUNT_KEYS = {
    Role.PREFILL: "num_prefill_workers",
    Role.DECODE: "num_decode_workers",
    Role.WORKER: "num_decode_workers",
}
DECISION_KEY = "decision_id"
ACKNOWLEDGED_KEY = "scaled_decision_id"


def _prefix(namespace: str) -> str:
    return f"v1/{namespace}/planner/"


async def _read(url: str, namespace: str, timeout: float) -> dict[str, int]:
    prefix = _prefix(namespace)
    try:
        async with open_etcd(url, timeout) as client, asyncio.timeout(timeout):
            found = await client.get_prefix(prefix.encode())
    except ConnectionError as error:
        raise SignalError(str(error)) from None
    values: dict[str, int] = {}
    for pair in found:
        try:
            values[pair.key.decode().removeprefix(prefix)] = int(pair.value)
        except ValueError:
            raise SignalError(f"{pair.key.decode()}: {pair.value!r} is no integer") from None
    return values


class PlannerAdapter:
    """Reads the decision in force."""

    async def read(self, source: object, context: SignalContext) -> tuple[Signal, ...]:
        """The wished count of the component, from the planner's newest decision."""
        del source
        url = context.endpoints.etcd
        if url is None:
            raise SignalError("no etcd replica answers")
        values = await _read(url.split(",")[0], context.namespace, context.timeout)
        if values.get(DECISION_KEY, -1) < 0:
            raise SignalError("Dynamo's planner has published no decision")
        key = next((COUNT_KEYS[r] for r in COUNT_KEYS if r in context.component.roles), None)
        if key is None or values.get(key, -1) < 0:
            raise SignalError(f"Dynamo's planner has published no {key or 'count for this role'}")
        return (
            Signal(
                context.component.name,
                "desired_replicas",
                float(values[key]),
                "replicas",
                context.now,
                "planner",
            ),
        )


async def acknowledge(url: str, namespace: str, timeout: float) -> int | None:
    """Tell the planner that its newest decision is reached; the id, None where there is none."""
    values = await _read(url, namespace, timeout)
    decision = values.get(DECISION_KEY, -1)
    if decision < 0:
        return None
    if values.get(ACKNOWLEDGED_KEY) == decision:
        return decision
    try:
        async with open_etcd(url, timeout) as client, asyncio.timeout(timeout):
            key = f"{_prefix(namespace)}{ACKNOWLEDGED_KEY}"
            await client.put(key.encode(), str(decision).encode())
    except ConnectionError as error:
        raise SignalError(str(error)) from None
    return decision
