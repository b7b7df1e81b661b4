"""Prometheus text as replicas expose it: read line by line, for the samples that are used alone.

The format is that of the Prometheus documentation ("Exposition formats", text format 0.0.4). A page
is mostly histograms that nobody here reads: those lines cost a look at their first bytes, so a page
of several MiB does not hold up the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

MAX_LINE_BYTES = 8192
MAX_OTHER_LINE_BYTES = 128 * 1024
"""Engines describe their whole configuration in the labels of one sample."""
MAX_SAMPLES = 20_000
MAX_VALUE = 1e15
"""Counters of tokens stay far below; above, a float no longer counts by ones."""
_LINE = re.compile(rb'[#a-zA-Z_:{"]')
"""How a line begins that is not empty: a comment, a name, or a quoted name in braces."""

Sample = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """The wanted samples of a page. ``known``: it has a line of the family that was looked for."""

    samples: tuple[Sample, ...]
    known: bool


class MetricsReader:
    """Takes a page piece by piece. ``prefix`` is what all names of the ``wanted`` begin with.

    Both methods raise ValueError for what is not Prometheus text, and for a wanted sample whose
    value cannot be: NaN, infinite, negative, or absurdly large. The page is then of no use: what
    else it says is as doubtful.
    """

    def __init__(self, wanted: frozenset[str], prefix: str) -> None:
        self._wanted = wanted
        self._begins = tuple(name.encode() for name in wanted)
        self._prefix = prefix.encode()
        self._named = tuple(f"# {word} {prefix}".encode() for word in ("HELP", "TYPE"))
        self._rest = b""
        self._known = False
        self._samples: list[Sample] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._take(lines)
        longest = MAX_LINE_BYTES if self._rest.startswith(self._prefix) else MAX_OTHER_LINE_BYTES
        if len(self._rest) > longest:
            raise ValueError(f"not Prometheus text: a line is longer than {longest} bytes")

    def end(self) -> MetricsPage:
        """The page, which has ended here."""
        self._take([self._rest])
        return MetricsPage(tuple(self._samples), self._known)

    def _take(self, lines: list[bytes]) -> None:
        kept = []
        for raw in lines:
            line = raw.strip()
            if not line:
                continue
            if not _LINE.match(line):
                raise ValueError(f"not Prometheus text: {line[:80]!r}")
            if not line.startswith(self._prefix):
                self._known = self._known or line.startswith(self._named)
                continue
            self._known = True
            if line.startswith(self._begins):
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError(
                        f"not Prometheus text: a line is longer than {MAX_LINE_BYTES} bytes"
                    )
                kept.append(line)
        if kept:
            self._samples += self._parse(b"\n".join(kept))
            if len(self._samples) > MAX_SAMPLES:
                raise ValueError(f"more than {MAX_SAMPLES} samples of Dynamo's metrics")

    def _parse(self, lines: bytes) -> list[Sample]:
        try:
            text = lines.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 text: {error.object[error.start :][:40]!r}") from None
        try:
            found = [
                (sample.name, dict(sample.labels), sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name in self._wanted
            ]
        # The parser is a lax one, which trips over some of what it does not expect.
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not Prometheus text: {str(error)[:200]}") from None
        return [(name, labels, usable_value(name, value)) for name, labels, value in found]


def usable_value(name: str, value: float) -> float:
    """``value`` as a count or a gauge of the metric ``name``. Raises ValueError where it is none.

    It may be an int of any size.
    """
    if not 0 <= value <= MAX_VALUE:
        raise ValueError(f"{name} is {str(value)[:24]}; it is a number from 0 to {MAX_VALUE:g}")
    return float(value)
