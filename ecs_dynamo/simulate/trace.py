"""Request traces: read from CSV, or made by a seeded generator for shapes longer than an hour.

A trace is three arrays of equal length: arrival (seconds from the start, rising), prompt tokens,
output tokens.
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
"""Columns of a daemon's recording: UTC seconds of the interval's end, its length, its totals."""
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
        """From the first second to the last arrival."""
        return float(self.arrivals[-1]) if len(self) else 0.0

    def scaled(self, factor: int, seed: int = 0) -> Trace:
        """``factor`` times the load: each request as many times, up to 30 s apart."""
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
    """A CSV file (``.gz`` too) with the columns arrival_s, prompt_tokens, output_tokens, or those
    of a recording (`RECORDED`), whose requests are spread over their interval.

    Raises InputError with file and line.
    """
    wanted = f"a header line {','.join(COLUMNS)} and a row of three numbers for each request"
    values: list[tuple[float, ...]] = []
    try:
        reader = csv.DictReader(_rows(path))
        heads = reader.fieldnames or ()
        columns = RECORDED if "requests" in heads else COLUMNS
        missing = [c for c in columns if c not in heads]
        if missing:
            raise _problem(path, f"has no column {', '.join(missing)}", f"write {wanted}", 1)
        for row in islice(reader, MAX_ROWS):
            try:
                numbers = tuple(float(row[c]) for c in columns)
            except (TypeError, ValueError):
                found = ",".join(str(row[c]) for c in columns)
                raise _problem(
                    path, f"{found} are not numbers", f"write {wanted}", reader.line_num
                ) from None
            if not all(0 <= number < 1e12 for number in numbers):
                raise _problem(
                    path,
                    f"{','.join(f'{n:g}' for n in numbers)} is out of range",
                    "times and token counts are finite and not negative",
                    reader.line_num,
                )
            values.append(numbers)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _problem(path, f"can not be read: {reason}", f"give {wanted}") from None
    if not values:
        raise _problem(path, "has no request", f"write {wanted}")
    table = np.array(values, dtype=np.float64)
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    if columns is RECORDED:
        table = _spread(path, table)
    return _sorted(name, table[:, 0], table[:, 1], table[:, 2])


def _spread(path: Path, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The requests of a recording, evenly over their intervals, each with the mean lengths."""
    counts = table[:, 2].round().astype(np.int64)
    total = int(counts.sum())
    if not 0 < total <= MAX_ROWS:
        raise _problem(path, f"has {total} requests", f"record 1 to {MAX_ROWS}")
    each = np.maximum(counts, 1)
    places = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
    begin = np.repeat(table[:, 0] - table[:, 1], counts)
    made = np.column_stack(
        (
            begin + places * np.repeat(table[:, 1], counts),
            np.repeat(table[:, 3] / each, counts),
            np.repeat(table[:, 4] / each, counts),
        )
    )
    made[:, 0] -= made[:, 0].min()
    return made


def _made(
    name: str,
    seconds: float,
    rate: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
) -> Trace:
    """Poisson arrivals of a rate that changes each 10 s; log-normal prompt and output lengths.

    The lengths have the means and spread of the Azure 2023 conversation trace.
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
    """Office hours: lowest at 4, highest at 15 o'clock, a smaller evening peak."""
    hour = (t % DAY) / 3600.0
    day = np.exp(-0.5 * ((hour - 14.5) / 3.2) ** 2)
    evening = 0.55 * np.exp(-0.5 * ((hour - 20.5) / 1.6) ** 2)
    return np.asarray(0.12 + day + evening, dtype=np.float64)


def _weekly(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Five days of work, two of less than half."""
    weekend = (t // DAY) % 7 >= 5
    return np.where(weekend, 0.4, 1.0)


def _bursts(
    t: NDArray[np.float64], seed: int, each: float, height: float, length: float
) -> NDArray[np.float64]:
    """Sudden crowds, one in ``each`` seconds on average: up within a minute, gone in ``length``."""
    rng = np.random.default_rng(seed + 1)
    total = float(t[-1]) if len(t) else 0.0
    found = np.ones_like(t)
    for at in np.cumsum(rng.exponential(each, int(total / each * 2) + 4)):
        size = height * rng.uniform(0.5, 1.5)
        after = t - at
        rise = np.clip(after / 60.0, 0.0, 1.0)
        found += np.where(after >= 0, size * rise * np.exp(-np.clip(after, 0, None) / length), 0.0)
    return found


def day(seed: int = 1) -> Trace:
    """One working day, 6 requests/s at its height, with slow random drift."""
    return _made("day", DAY, lambda t: 6.0 * _daily(t) * _drift(t, seed, 0.12), seed)


def bursty(seed: int = 2) -> Trace:
    """Twelve hours of a low base load with sudden crowds of about five times that."""
    return _made("bursty", DAY / 2, lambda t: 2.0 * _bursts(t, seed, 3600.0, 4.0, 900.0), seed)


def month(seed: int = 3) -> Trace:
    """Four weeks with daily and weekly seasons, drift and a crowd every other day."""
    return _made(
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
    """A slow random factor about 1: the standard deviation is ``size``, it turns in half hours."""
    rng = np.random.default_rng(seed + 2)
    knots = np.arange(0.0, (float(t[-1]) if len(t) else 0.0) + 3600.0, 1800.0)
    values = np.exp(rng.normal(0.0, size, len(knots)))
    return np.asarray(np.interp(t, knots, values), dtype=np.float64)


GENERATORS: Mapping[str, Callable[[int], Trace]] = {"day": day, "bursty": bursty, "month": month}
"""Traces that need no file, by name."""
