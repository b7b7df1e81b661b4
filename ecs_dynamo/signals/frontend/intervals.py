"""The growth of counters between two passes, by series and frontend.

Counters are compared series by series, as Prometheus does: a series may begin (a first request of
its kind), end (a router of a removed worker generation), or start again from zero (a restarted
frontend), and none of these may count as traffic that did not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ecs_dynamo.signals.frontend.page import UPTIME, Scrape


@dataclass(frozen=True, slots=True)
class Span:
    """The earlier and the later page of one frontend."""

    earlier: Scrape
    later: Scrape

    def growth(self, metric: str, **labels: str) -> float | None:
        """Return how much the counter grew, or None if the later page does not have it.

        A value below the earlier one means that the frontend restarted: the whole value is new.
        """
        growth, exists = 0.0, False
        before = self.earlier.metrics.get(metric, {})
        for series, value in self.later.series(metric, **labels):
            previous = before.get(series, 0.0)
            growth += value - previous if value >= previous else value
            exists = True
        return growth if exists else None

    def grown(self, metric: str, **labels: str) -> float:
        """Return how much the counter grew: 0 if the later page does not have it."""
        return self.growth(metric, **labels) or 0.0

    def change(self, metric: str, **labels: str) -> float:
        """Return how much the sum of a gauge has changed."""
        return self.later.sum(metric, **labels) - self.earlier.sum(metric, **labels)


@dataclass(frozen=True, slots=True)
class Interval:
    """The time between two passes in which all frontends answered: ``seconds``, above zero.

    ``spans`` leaves out frontends without an earlier page that are older than the interval, because
    the time span of their counts is unknown.
    """

    seconds: float
    spans: tuple[Span, ...]

    def grown(self, metric: str, **labels: str) -> float:
        """Return how much a counter grew over all frontends."""
        return sum(span.grown(metric, **labels) for span in self.spans)


@dataclass(slots=True)
class IntervalReader:
    """The pages of the last pass in which all frontends answered."""

    _scrapes: dict[str, Scrape] = field(default_factory=dict)
    _at: float | None = None

    def advance(self, scrapes: Sequence[Scrape], now: float) -> Interval | None:
        """Return the interval that ends at ``now`` (monotonic seconds).

        ``scrapes`` are the pages of all frontends. None on the first call, and if no frontend's
        growth is known.
        """
        before, at = self._scrapes, self._at
        self._scrapes, self._at = {scrape.url: scrape for scrape in scrapes}, now
        if at is None or now <= at:
            return None
        spans = []
        for scrape in scrapes:
            uptime = scrape.total(UPTIME)
            if uptime is not None and uptime < now - at:
                # The process has started within the interval, so everything that it counts is new.
                spans.append(Span(Scrape(scrape.url), scrape))
            elif scrape.url in before:
                spans.append(Span(before[scrape.url], scrape))
        return Interval(now - at, tuple(spans)) if spans else None
