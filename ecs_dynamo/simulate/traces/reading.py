"""Traces read from CSV files: of requests, or recorded by the daemon."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.simulate.traces.trace import Array, Trace, sorted_trace

COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
RECORDED = ("at", "seconds", "requests", "prompt_tokens", "output_tokens")
"""Columns of a daemon's recording: end of the interval (UTC seconds), its length and its totals."""
MAX_ROWS = 50_000_000


def _problem(path: Path, message: str, remedy: str, line: int | None = None) -> InputError:
    return InputError(Problem(message, file=str(path), line=line, remedy=remedy))


def _rows(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from lines


def load_trace(path: Path) -> Trace:
    """Read a CSV file, which may be compressed (``.gz``).

    Its columns are `COLUMNS`, or those of a recording (`RECORDED`), whose requests are spread
    evenly over their interval. Raises InputError with file and line.
    """
    expected = f"a header line {','.join(COLUMNS)} and a row of three numbers for each request"
    values: list[tuple[float, ...]] = []
    try:
        reader = csv.DictReader(_rows(path))
        headings = reader.fieldnames or ()
        columns = RECORDED if "requests" in headings else COLUMNS
        missing = [c for c in columns if c not in headings]
        if missing:
            raise _problem(
                path, f"the file has no column {', '.join(missing)}", f"write {expected}", 1
            )
        for row in islice(reader, MAX_ROWS):
            try:
                numbers = tuple(float(row[c]) for c in columns)
            except (TypeError, ValueError):
                fields = ",".join(str(row[c]) for c in columns)
                raise _problem(
                    path, f"{fields} are not numbers", f"write {expected}", reader.line_num
                ) from None
            if not all(0 <= number < 1e12 for number in numbers):
                raise _problem(
                    path,
                    f"{','.join(f'{n:g}' for n in numbers)} is out of range",
                    "write times and token counts that are finite and not negative",
                    reader.line_num,
                )
            values.append(numbers)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _problem(
            path, f"the trace cannot be read: {reason}", f"name a file with {expected}"
        ) from None
    if not values:
        raise _problem(path, "the file has no request", f"write {expected}")
    table = np.array(values, dtype=np.float64)
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    if columns is RECORDED:
        table = _spread(path, table)
    return sorted_trace(name, table[:, 0], table[:, 1], table[:, 2])


def _spread(path: Path, table: Array) -> Array:
    """Spread a recording's requests evenly over their intervals, each with the mean lengths."""
    counts = table[:, 2].round().astype(np.int64)
    total = int(counts.sum())
    if not 0 < total <= MAX_ROWS:
        raise _problem(path, f"the file has {total} requests", f"record 1 to {MAX_ROWS}")
    divisors = np.maximum(counts, 1)
    fractions = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
    begin = np.repeat(table[:, 0] - table[:, 1], counts)
    requests = np.column_stack(
        (
            begin + fractions * np.repeat(table[:, 1], counts),
            np.repeat(table[:, 3] / divisors, counts),
            np.repeat(table[:, 4] / divisors, counts),
        )
    )
    requests[:, 0] -= requests[:, 0].min()
    return requests
