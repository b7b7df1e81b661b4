"""Metrics pages of Dynamo 1.6.1 with its mock engine, as recorded on one machine.

``NAME-arrived`` is 0.5 s after 12 prompts of 1448 tokens or more arrived at workers that take one
or two at a time, ``NAME-running`` 1.5 s later, and ``NAME-done`` after the end of all requests.
"""

from __future__ import annotations

from pathlib import Path

from ecs_dynamo.signals.frontend.intervals import Interval, IntervalReader
from ecs_dynamo.signals.frontend.page import Scrape, parse_metrics

PAGES = Path(__file__).parents[2] / "fixtures" / "metrics"


def recorded(name: str, url: str = "http://a:8000") -> Scrape:
    """Return the recorded page ``name`` as if the frontend at ``url`` had answered it."""
    return parse_metrics(url, (PAGES / f"1.6.1/{name}.txt").read_text())


def interval(earlier: str, later: str, seconds: float = 1.0) -> Interval:
    """Return the interval between two texts or recorded pages of one frontend."""
    result = intervals([[earlier], [later]], seconds)[-1]
    assert result is not None
    return result


def intervals(passes: list[list[str]], seconds: float = 10.0) -> list[Interval | None]:
    """Return the interval of each pass; a pass lists the pages of frontends ``u0``, ``u1``, ..."""
    reader = IntervalReader()
    return [
        reader.advance([_page(text, f"u{i}") for i, text in enumerate(pages)], seconds * number)
        for number, pages in enumerate(passes)
    ]


def _page(text: str, url: str) -> Scrape:
    return parse_metrics(url, text) if "\n" in text else recorded(text, url)
