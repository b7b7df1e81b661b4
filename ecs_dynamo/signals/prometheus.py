"""Read an instant query of a Prometheus server (HTTP API, ``/api/v1/query``)."""

from __future__ import annotations

from ecs_dynamo.discovery.exposition import MAX_VALUE
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import PrometheusSource
from ecs_dynamo.signals.base import SignalContext, SignalError, declared_kind, get_json

MAX_AHEAD_SECONDS = 3600.0
"""How far the server's clock may be ahead of the local clock."""


class PrometheusAdapter:
    """Reader of one value: a scalar, or a vector of one element, each with its own timestamp."""

    async def read(self, source: PrometheusSource, context: SignalContext) -> tuple[Signal, ...]:
        """Run the query. Raises `SignalError`."""
        url = f"{source.url.rstrip('/')}/api/v1/query"
        answer = await get_json(url, context.timeout, query=source.query)
        try:
            data = answer["data"]
            if data["resultType"] == "vector":
                if len(data["result"]) != 1:
                    raise SignalError(
                        f"{url}: the query gives {len(data['result'])} values; "
                        "reduce it to one value, for example with sum()"
                    )
                timestamp, text = data["result"][0]["value"]
            else:
                timestamp, text = data["result"]
            value, observed_at = float(text), float(timestamp)
            # With an impossible timestamp the signal would never, or always, count as outdated.
            if not 0 <= observed_at <= context.now.wall + MAX_AHEAD_SECONDS:
                raise ValueError(f"the timestamp {timestamp}")
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise SignalError(f"{url}: unexpected answer: {str(error)[:200]}") from None
        if not 0 <= value <= MAX_VALUE:
            raise SignalError(
                f"{url}: the query gives {str(text)[:40]}; a demand is a number of at least 0"
            )
        kind, unit = declared_kind(source)
        return (
            Signal(
                context.component.name,
                kind,
                value,
                unit,
                context.now.monotonic_of(observed_at),
                "prometheus",
            ),
        )
