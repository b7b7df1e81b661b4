"""Request traces, read from CSV or generated from a seed for shapes longer than an hour.

A trace has three arrays of equal length: arrivals (seconds from the start, ascending), prompt
tokens and output tokens.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.model.errors import InputError, Problem

COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
RECORDED = ("at", "seconds", "requests", "prompt_tokens", "output_tokens")
"""Columns of a daemon's recording: end of the interval (UTC seconds), its length and its totals."""
DAY = 86_400.0
MAX_ROWS = 50_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival."""

    name: str
    arrivals: NDArray[np.float64]
    prompts: NDArray[np.float64]
    outputs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def seconds(self) -> float:
        """Duration from the start to the last arrival."""
        return float(self.arrivals[-1]) if len(self) else 0.0

    def scaled(self, factor: int, seed: int = 0) -> Trace:
        """Return a trace with ``factor`` times the load.

        Each request is repeated ``factor`` times, up to 30 s later.
        """
        if factor <= 1:
            return self
        rng = np.random.default_rng(seed)
        shift = rng.uniform(0.0, 30.0, (factor, len(self)))
        shift[0] = 0.0
        return _sorted(
            f"{self.name} x{factor}",
            (self.arrivals + shift).ravel(),
            np.tile(self.prompts, factor),
            np.tile(self.outputs, factor),
        )


def _sorted(
    name: str,
    arrivals: NDArray[np.float64],
    prompts: NDArray[np.float64],
    outputs: NDArray[np.float64],
) -> Trace:
    order = np.argsort(arrivals, kind="stable")
    return Trace(name, arrivals[order], prompts[order], outputs[order])


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
    return _sorted(name, table[:, 0], table[:, 1], table[:, 2])


def _spread(path: Path, table: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _generated(
    name: str,
    seconds: float,
    rate: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
) -> Trace:
    """Return Poisson arrivals with log-normal prompt and output lengths.

    ``rate`` returns requests/s for times in seconds and is evaluated every 10 s. The lengths have
    the means and spread of the Azure 2023 conversation trace.
    """
    rng = np.random.default_rng(seed)
    step = 10.0
    starts = np.arange(0.0, seconds, step)
    counts = rng.poisson(np.clip(rate(starts), 0.0, None) * step)
    arrivals = np.repeat(starts, counts) + rng.uniform(0.0, step, int(counts.sum()))
    size = len(arrivals)
    prompts = np.clip(rng.lognormal(6.55, 1.0, size), 4, 16_000).round()
    outputs = np.clip(rng.lognormal(5.0, 0.85, size), 1, 2_000).round()
    return _sorted(name, arrivals, prompts, outputs)


def _daily(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shape of a day: lowest at 4:00, highest at 15:00, with a smaller evening peak."""
    hour = (t % DAY) / 3600.0
    day = np.exp(-0.5 * ((hour - 14.5) / 3.2) ** 2)
    evening = 0.55 * np.exp(-0.5 * ((hour - 20.5) / 1.6) ** 2)
    return np.asarray(0.12 + day + evening, dtype=np.float64)


def _weekly(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shape of a week: 1 on five working days, 0.4 on the weekend."""
    weekend = (t // DAY) % 7 >= 5
    return np.where(weekend, 0.4, 1.0)


def _bursts(
    t: NDArray[np.float64], seed: int, each: float, height: float, length: float
) -> NDArray[np.float64]:
    """Return a factor with sudden bursts, one per ``each`` seconds on average.

    A burst rises within a minute and decays with the time constant ``length`` in seconds.
    """
    rng = np.random.default_rng(seed + 1)
    total = float(t[-1]) if len(t) else 0.0
    factor = np.ones_like(t)
    for at in np.cumsum(rng.exponential(each, int(total / each * 2) + 4)):
        size = height * rng.uniform(0.5, 1.5)
        after = t - at
        rise = np.clip(after / 60.0, 0.0, 1.0)
        factor += np.where(after >= 0, size * rise * np.exp(-np.clip(after, 0, None) / length), 0.0)
    return factor


def day(seed: int = 1) -> Trace:
    """Generate one working day with a peak of 6 requests/s and a slow random drift."""
    return _generated("day", DAY, lambda t: 6.0 * _daily(t) * _drift(t, seed, 0.12), seed)


def bursty(seed: int = 2) -> Trace:
    """Generate twelve hours of low base load with sudden bursts of about five times that load."""
    return _generated("bursty", DAY / 2, lambda t: 2.0 * _bursts(t, seed, 3600.0, 4.0, 900.0), seed)


def month(seed: int = 3) -> Trace:
    """Generate four weeks with daily and weekly seasons, drift and a burst every other day."""
    return _generated(
        "month",
        28 * DAY,
        lambda t: (
            3.6
            * _daily(t)
            * _weekly(t)
            * _drift(t, seed, 0.12)
            * _bursts(t, seed, 2 * DAY, 1.5, 1800.0)
        ),
        seed,
    )


def _drift(t: NDArray[np.float64], seed: int, size: float) -> NDArray[np.float64]:
    """Return a slow random factor around 1 with the standard deviation ``size``.

    It changes direction at half-hourly knots.
    """
    rng = np.random.default_rng(seed + 2)
    knots = np.arange(0.0, (float(t[-1]) if len(t) else 0.0) + 3600.0, 1800.0)
    values = np.exp(rng.normal(0.0, size, len(knots)))
    return np.asarray(np.interp(t, knots, values), dtype=np.float64)


GENERATORS: Mapping[str, Callable[[int], Trace]] = {"day": day, "bursty": bursty, "month": month}
"""Generators of traces by name; each takes a seed."""
