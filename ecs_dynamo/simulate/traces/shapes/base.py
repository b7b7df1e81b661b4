"""The base of generated traces: over-dispersed arrivals, and lengths whose mix drifts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ecs_dynamo.simulate.traces.trace import Array, Trace

STEP = 5.0
"""Seconds between two evaluations of a shape's rate."""
HOUR = 3_600.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal prompt and output lengths, in tokens.

    Both means drift independently: they have the relative standard deviation ``drift`` and change
    direction every ``drift_seconds``.
    """

    prompt: float
    prompt_sigma: float
    output: float
    output_sigma: float
    max_prompt: float
    max_output: float
    drift: float
    drift_seconds: float

    def prompts(self, times: Array, rng: np.random.Generator) -> Array:
        """Return the prompt lengths of requests at ``times`` in seconds."""
        lengths = self._drifting(times, rng, self.prompt, self.prompt_sigma)
        return np.asarray(np.clip(lengths, 4, self.max_prompt).round())

    def outputs(self, times: Array, rng: np.random.Generator) -> Array:
        """Return the output lengths of requests at ``times`` in seconds."""
        lengths = self._drifting(times, rng, self.output, self.output_sigma)
        return np.asarray(np.clip(lengths, 1, self.max_output).round())

    def _drifting(self, times: Array, rng: np.random.Generator, mean: float, sigma: float) -> Array:
        factor = wander(times, rng, self.drift, self.drift_seconds)
        return log_normal(rng, mean, sigma, len(times)) * factor


def log_normal(rng: np.random.Generator, mean: float, sigma: float, size: int) -> Array:
    """Return log-normal values with this mean; ``sigma`` is the deviation of their logarithm."""
    return rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, size)


def wander(times: Array, rng: np.random.Generator, size: float, every: float) -> Array:
    """Return a slow random factor around 1 with the relative standard deviation ``size``.

    It changes direction every ``every`` seconds.
    """
    last = float(times.max()) if len(times) else 0.0
    knots = np.arange(0.0, last + 2 * every, every)
    values = np.exp(rng.normal(-(size**2) / 2, size, len(knots)))
    return np.asarray(np.interp(times, knots, values), dtype=np.float64)


def poisson_arrivals(
    rates: Array, rng: np.random.Generator, dispersion: float, block_seconds: float
) -> Array:
    """Return arrivals at ``rates`` (requests/s, every `STEP` seconds), in any order.

    The rate of each block of ``block_seconds`` is multiplied by a gamma variable with mean 1 and
    standard deviation ``dispersion``, so that counts vary more than a Poisson process's, as those
    of real traffic do.
    """
    if dispersion > 0:
        per_block = max(1, round(block_seconds / STEP))
        blocks = -(-len(rates) // per_block)
        factors = rng.gamma(dispersion**-2, dispersion**2, blocks)
        rates = rates * np.repeat(factors, per_block)[: len(rates)]
    counts = rng.poisson(np.clip(rates, 0.0, None) * STEP)
    starts = np.arange(len(rates)) * STEP
    return np.asarray(np.repeat(starts, counts) + rng.uniform(0.0, STEP, int(counts.sum())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(ABC):
    """A shape of traffic. ``seconds`` is the length of its traces, ``rate`` in requests/s.

    The rate varies by ``dispersion`` from each block of ``block_seconds`` to the next
    (`poisson_arrivals`).
    """

    name: ClassVar[str]
    seconds: float
    rate: float
    lengths: Lengths
    dispersion: float
    block_seconds: float

    def generate(self, seed: int) -> Trace:
        """Return the trace of a seed."""
        rng = np.random.default_rng(seed)
        times = np.arange(0.0, self.seconds, STEP)
        arrivals = np.sort(
            poisson_arrivals(
                self.rate * self.level(times, rng), rng, self.dispersion, self.block_seconds
            )
        )
        prompts = self.lengths.prompts(arrivals, rng)
        return Trace(self.name, arrivals, prompts, self.lengths.outputs(arrivals, rng))

    @abstractmethod
    def level(self, times: Array, rng: np.random.Generator) -> Array:
        """Return the rate at ``times`` in seconds, relative to ``rate``."""


def random_times(rng: np.random.Generator, seconds: float, each: float, begin: float) -> Array:
    """Return random times after ``begin`` with exponential gaps of ``each`` seconds on average."""
    gaps = rng.exponential(each, int(3 * seconds / each) + 8)
    times = begin + np.cumsum(gaps) - gaps[0] * 0.5
    return np.asarray(times[times < seconds])
