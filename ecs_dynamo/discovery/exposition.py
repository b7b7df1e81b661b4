"""Parse Prometheus text line by line and keep only the samples in use.

The format is text format 0.0.4 of the Prometheus documentation ("Exposition formats"). Most of a
page is unused histograms. Only the first bytes of those lines are compared, so that a page of
several MiB does not block the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

MAX_LINE_BYTES = 8192
MAX_OTHER_LINE_BYTES = 128 * 1024
"""Engines describe their complete configuration in the labels of one sample."""
MAX_SAMPLES = 20_000
MAX_VALUE = 1e15
"""Token counters stay far below this; at larger values a float no longer counts by ones."""
_LINE_START = re.compile(rb'[#a-zA-Z_:{"]')
"""The start of a line that is not empty: a comment, a name, or a quoted name in braces."""

Sample = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """The samples selected from a page. ``known``: it has at least one metric with the prefix."""

    samples: tuple[Sample, ...]
    known: bool


class MetricsReader:
    """Reader of a page, piece by piece, that keeps the samples called ``names``.

    A page is ``known`` if it has metrics with ``prefix``. Both methods raise ValueError for
    anything other than Prometheus text, and if the value of such a sample is NaN, infinite,
    negative or too large. The whole page is then rejected, as its other values are equally
    doubtful. Samples called ``optional`` are kept as well. They come from another program in the
    same process, so that an unusable value among them says nothing about the others: it is dropped.
    """

    def __init__(
        self, names: frozenset[str], prefix: str, optional: frozenset[str] = frozenset()
    ) -> None:
        self._names = names | optional
        self._optional = optional
        self._starts = tuple(name.encode() for name in self._names)
        self._prefix = prefix.encode()
        comments = (f"# {word} {prefix}".encode() for word in ("HELP", "TYPE"))
        self._own = (self._prefix, *comments)
        self._rest = b""
        self._known = False
        self._samples: list[Sample] = []

    def feed(self, piece: bytes) -> None:
        """Parse the next bytes of the page."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._take(lines)
        longest = MAX_LINE_BYTES if self._rest.startswith(self._prefix) else MAX_OTHER_LINE_BYTES
        if len(self._rest) > longest:
            raise ValueError(f"not Prometheus text: a line is longer than {longest} bytes")

    def end(self) -> MetricsPage:
        """Return the parsed page after its last byte."""
        self._take([self._rest])
        return MetricsPage(tuple(self._samples), self._known)

    def _take(self, lines: list[bytes]) -> None:
        selected = []
        for raw in lines:
            line = raw.strip()
            if not line:
                continue
            if not _LINE_START.match(line):
                raise ValueError(f"not Prometheus text: {line[:80]!r}")
            self._known = self._known or line.startswith(self._own)
            if line.startswith(self._starts):
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError(
                        f"not Prometheus text: a line is longer than {MAX_LINE_BYTES} bytes"
                    )
                selected.append(line)
        if selected:
            self._samples += self._parse(b"\n".join(selected))
            if len(self._samples) > MAX_SAMPLES:
                raise ValueError(f"more than {MAX_SAMPLES} samples of Dynamo's metrics")

    def _parse(self, lines: bytes) -> list[Sample]:
        try:
            text = lines.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 text: {error.object[error.start :][:40]!r}") from None
        try:
            samples = [
                (sample.name, dict(sample.labels), sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name in self._names
            ]
        # The parser does not validate its input and fails with other errors than ValueError.
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not Prometheus text: {str(error)[:200]}") from None
        return [
            (name, labels, usable_value(name, value))
            for name, labels, value in samples
            if name not in self._optional or 0 <= value <= MAX_VALUE
        ]


def usable_value(name: str, value: float) -> float:
    """Return ``value``, an int of any size or a float, if the metric ``name`` can have it.

    Raises ValueError if it is NaN, negative or larger than `MAX_VALUE`.
    """
    if not 0 <= value <= MAX_VALUE:
        raise ValueError(f"{name} is {str(value)[:24]}; it must be from 0 to {MAX_VALUE:g}")
    return float(value)
