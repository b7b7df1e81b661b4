"""Read the backlog of a JetStream consumer.

Dynamo up to 0.4.1 and batch gateways queue requests in JetStream. The demand is ``num_pending +
num_ack_pending``: messages that nobody has fetched, and messages that were fetched and are not
acknowledged. Redelivered messages are reported separately: they are failed work, not new demand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from ecs_dynamo.discovery.nats import open_nats
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import JetStreamSource
from ecs_dynamo.signals.base import SignalContext, SignalError, get_json, usable


class JetStreamAdapter:
    """Reader through a NATS client, or through the monitoring endpoint if one is declared."""

    async def read(self, source: JetStreamSource, context: SignalContext) -> tuple[Signal, ...]:
        """Return the consumer's backlog and its redelivered messages. Raises `SignalError`."""
        if source.monitoring_url is not None:
            pending, redelivered = await _from_monitoring(source, context.timeout)
        else:
            pending, redelivered = await _from_account(source, context)
        values = ((SignalKind.QUEUE_DEPTH, pending), (SignalKind.REDELIVERED, redelivered))
        return tuple(
            Signal(
                context.component.name,
                kind,
                usable(f"{source.consumer}'s {kind}", value),
                "messages",
                context.now.monotonic,
                "jetstream",
            )
            for kind, value in values
        )


async def _from_account(source: JetStreamSource, context: SignalContext) -> tuple[int, int]:
    url = context.endpoints.nats
    if url is None:
        raise SignalError("no NATS replica answers")
    try:
        async with (
            open_nats(url.split(",")[0], context.timeout, context.credentials.nats) as client,
            asyncio.timeout(context.timeout),
        ):
            info = await client.jetstream().consumer_info(source.stream, source.consumer)
    except NotFoundError:
        raise SignalError(
            f"there is no consumer {source.consumer} of a stream {source.stream}"
        ) from None
    except (ConnectionError, NatsError, TimeoutError) as error:
        raise SignalError(f"{url}: {str(error) or type(error).__name__}") from None
    pending = (info.num_pending or 0) + (info.num_ack_pending or 0)
    return pending, info.num_redelivered or 0


def _consumers(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the consumers of a `/jsz` document.

    Raises TypeError or AttributeError if the document has another shape.
    """
    for account in document.get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            yield from stream.get("consumer_detail") or ()


async def _from_monitoring(source: JetStreamSource, timeout: float) -> tuple[int, int]:
    """Read the consumer from `/jsz` of nats-server (described in its monitoring documentation)."""
    url = f"{str(source.monitoring_url).rstrip('/')}/jsz"
    document = await get_json(url, timeout, consumers="true", streams="true", accounts="true")
    try:
        for consumer in _consumers(document):
            names = (consumer.get("stream_name"), consumer.get("name"))
            if names == (source.stream, source.consumer):
                pending = consumer.get("num_pending", 0) + consumer.get("num_ack_pending", 0)
                return pending, consumer.get("num_redelivered", 0)
    except (TypeError, AttributeError) as error:
        raise SignalError(f"{url}: unexpected answer: {error}") from None
    raise SignalError(f"{url}: there is no consumer {source.consumer} of a stream {source.stream}")
