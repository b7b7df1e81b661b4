"""An instant query to a Prometheus server (HTTP API, ``/api/v1/query``)."""

from __future__ import annotations

from ecs_dynamo.discovery.exposition import MAX_VALUE
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec import PrometheusSource
from ecs_dynamo.signals.base import SignalContext, SignalError, get_json

AHEAD_SECONDS = 3600.0
"""How far the server's clock may be ahead of this one's."""


class PrometheusAdapter:
    """One value: a scalar, or a vector of one element. The sample's own time is its age."""

    async def read(self, source: PrometheusSource, context: SignalContext) -> tuple[Signal, ...]:
        """Ask now."""
        url = f"{source.url.rstrip('/')}/api/v1/query"
        answer = await get_json(url, context.timeout, query=source.query)
        try:
            data = answer["data"]
            if data["resultType"] == "vector":
                if len(data["result"]) != 1:
                    raise SignalError(
                        f"{url}: the query gives {len(data['result'])} values; "
                        "make it one, for example with sum()"
                    )
                at, text = data["result"][0]["value"]
            else:
                at, text = data["result"]
            value, observed_at = float(text), float(at)
            # A time of a year that is none would be an age that never ends, or never begins.
            if not 0 <= observed_at <= context.now.wall + AHEAD_SECONDS:
                raise ValueError(f"the time {at}")
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise SignalError(f"{url}: unexpected answer: {str(error)[:200]}") from None
        if not 0 <= value <= MAX_VALUE:
            raise SignalError(
                f"{url}: the query gives {str(text)[:40]}; a demand is a number from 0 up"
            )
        unit = "requests/s" if source.kind == "arrival_rate" else "requests"
        return (
            Signal(
                context.component.name,
                source.kind,
                value,
                unit,
                context.now.monotonic_of(observed_at),
                "prometheus",
            ),
        )
