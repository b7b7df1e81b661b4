"""Every signal of every scaled component, at once, each failing alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, Credentials
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Observed, Signal, Unknown
from ecs_dynamo.model.spec import SignalSource
from ecs_dynamo.signals.base import Adapter, CloudWatchCall, SignalContext, SignalError
from ecs_dynamo.signals.cloudwatch import CloudWatchAdapter
from ecs_dynamo.signals.frontend import FrontendAdapter
from ecs_dynamo.signals.jetstream import JetStreamAdapter
from ecs_dynamo.signals.planner import PlannerAdapter
from ecs_dynamo.signals.prometheus import PrometheusAdapter
from ecs_dynamo.signals.worker import WorkerLoad

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured, by component what could not be, and, by lease id, who is at work, who
    has served, and by frontend whom it routes to."""

    signals: tuple[Signal, ...]
    problems: Mapping[str, str]
    busy: Observed[Mapping[int, float]]
    served: Observed[frozenset[int]]
    routed: Mapping[str, frozenset[int]] = field(default_factory=dict)


def add_worker_report(measured: Measurement, own: WorkerLoad, *, asked: int) -> Measurement:
    """What the frontends tell of workers, and what these tell of themselves.

    Where no frontend told, all of the workers that were ``asked`` must have answered.
    """
    busy, served = measured.busy, measured.served
    if isinstance(busy, Unknown) or isinstance(served, Unknown):
        if own.silent or not asked:
            return measured
        busy, served = {}, frozenset()
    total = dict(busy)
    for lease, work in own.busy.items():
        total[lease] = total.get(lease, 0.0) + work
    return replace(measured, busy=total, served=served | own.served)


class SignalReader:
    """Measures a graph's signals. Between passes it remembers only counters, for rates.

    The last good values stay, with their own time, so that age tells of a source that is lost.
    """

    def __init__(self) -> None:
        self._frontend = FrontendAdapter()
        self._adapters: Mapping[str, Adapter] = {
            "frontend": self._frontend,
            "jetstream": JetStreamAdapter(),
            "prometheus": PrometheusAdapter(),
            "cloudwatch": CloudWatchAdapter(),
            "planner": PlannerAdapter(),
        }
        self._last: dict[tuple[str, int], tuple[Signal, ...]] = {}

    async def measure(
        self,
        graph: Graph,
        *,
        frontend_urls: tuple[str, ...],
        endpoints: Endpoints,
        cloudwatch: CloudWatchCall | None,
        now: Now,
        timeout: float,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> Measurement:
        """Measure all; ``timeout`` seconds bound each. Never raises for a source."""
        asked = [
            (component, number, source)
            for component in graph.components
            for number, source in enumerate(component.scaling.signals if component.scaling else ())
        ]
        read = [
            self._one(
                source,
                SignalContext(
                    component,
                    graph.namespace,
                    frontend_urls,
                    endpoints,
                    cloudwatch,
                    now,
                    timeout,
                    credentials,
                ),
            )
            for component, _, source in asked
        ]
        answers = await asyncio.gather(*read)
        problems: dict[str, str] = {}
        signals: list[Signal] = []
        for (component, number, source), answer in zip(asked, answers, strict=True):
            key = (component.name, number)
            if isinstance(answer, SignalError):
                told = f"{source.source}: {answer}"
                known = problems.get(component.name)
                problems[component.name] = f"{known}; {told}" if known else told
                signals += (*self._last.get(key, ()), *answer.partial)
            else:
                self._last[key] = answer
                signals += answer
        if self._frontend.busy_at != now.monotonic and any(c.is_worker for c in graph.components):
            # No signal asks the frontends, but draining does.
            with suppress(SignalError, TimeoutError):
                await self._frontend.look(
                    SignalContext(
                        graph.components[0],
                        graph.namespace,
                        frontend_urls,
                        endpoints,
                        cloudwatch,
                        now,
                        timeout,
                    )
                )
        at = now.monotonic
        routed = self._frontend.routed if self._frontend.routed_at == at else {}
        if self._frontend.busy_at != at:
            silent = Unknown("no frontend told")
            return Measurement(tuple(signals), problems, silent, silent, routed)
        return Measurement(
            tuple(signals), problems, dict(self._frontend.busy), self._frontend.served, routed
        )

    async def _one(
        self, source: SignalSource, context: SignalContext
    ) -> tuple[Signal, ...] | SignalError:
        try:
            # Adapters may make two calls, each within the timeout.
            async with asyncio.timeout(2 * context.timeout + 1.0):
                return await self._adapters[source.source].read(source, context)
        except SignalError as error:
            return error
        except TimeoutError:
            return SignalError(f"no answer within {2 * context.timeout:.0f} s")
        except Exception as error:
            # A server's answer that some library cannot take costs this signal, not the pass.
            _log.debug("signal not read", source=source.source, exc_info=True)
            return SignalError(f"its answer cannot be read ({type(error).__name__})")
