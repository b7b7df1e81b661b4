"""Shapes whose requests belong to sessions: growing conversations, a code assistant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.traces.shapes.base import (
    STEP,
    Shape,
    log_normal,
    poisson_arrivals,
    wander,
)
from ecs_dynamo.simulate.traces.trace import Array, Trace, sorted_trace


def running_totals(values: Array, sizes: NDArray[np.int64]) -> Array:
    """Return the sums of ``values`` up to each element of its session, itself included.

    The values of the sessions follow each other; ``sizes`` are their numbers.
    """
    totals = np.cumsum(values)
    before = np.concatenate(([0.0], totals))[np.cumsum(sizes) - sizes]
    return np.asarray(totals - np.repeat(before, sizes))


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingPrompts(Shape):
    """Conversations whose prompts contain all earlier turns, so that the load grows for hours.

    ``rate`` x ``turn`` conversations begin within the first ``start`` seconds and continue to the
    end, with turns ``turn`` seconds apart on average (log-normal with ``turn_sigma``). The prompt
    of a turn is ``system`` tokens, all earlier messages and outputs, and a new message of the
    prompt length of ``lengths``, whose maximum is that of the whole prompt. The pace of
    conversations has the relative standard deviation ``dispersion``.
    """

    name: ClassVar[str] = "growing-prompts"
    system: float
    turn: float
    turn_sigma: float
    start: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        del rng
        return np.ones_like(times)

    def generate(self, seed: int) -> Trace:
        rng = np.random.default_rng(seed)
        number = rng.poisson(self.rate * self.turn)
        turns = int(3 * self.seconds / self.turn) + 4
        sizes = np.full(number, turns, dtype=np.int64)
        gaps = log_normal(rng, self.turn, self.turn_sigma, number * turns)
        gaps *= rng.gamma(self.dispersion**-2, self.dispersion**2, number).repeat(turns)
        gaps[::turns] = 0.0
        times = running_totals(gaps, sizes) + rng.uniform(0.0, self.start, number).repeat(turns)
        messages = np.clip(
            log_normal(rng, self.lengths.prompt, self.lengths.prompt_sigma, len(times)), 4, None
        )
        messages *= wander(times, rng, self.lengths.drift, self.lengths.drift_seconds)
        outputs = self.lengths.outputs(times, rng)
        prompts = self.system + running_totals(messages + outputs, sizes) - outputs
        prompts = np.clip(prompts, 4, self.lengths.max_prompt).round()
        kept = times < self.seconds
        return sorted_trace(self.name, times[kept], prompts[kept], outputs[kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAssistant(Shape):
    """Sessions of developers: a burst of requests with long, similar prompts and short outputs.

    Sessions begin at ``rate`` / ``requests`` per second, slowly varying by ``drift``. A session has
    ``requests`` requests on average (geometric), ``pause`` seconds apart on average (log-normal
    with ``pause_sigma``). Its prompts are about as long: they vary by ``session_spread`` around the
    length of the session.
    """

    name: ClassVar[str] = "code-assistant"
    requests: float
    pause: float
    pause_sigma: float
    session_spread: float
    drift: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        return wander(times, rng, self.drift, 900.0)

    def generate(self, seed: int) -> Trace:
        rng = np.random.default_rng(seed)
        # Sessions that began before the trace continue in it.
        before = 3 * self.requests * self.pause
        steps = np.arange(0.0, self.seconds + before, STEP)
        rates = self.rate / self.requests * self.level(steps, rng)
        starts = poisson_arrivals(rates, rng, self.dispersion, self.block_seconds) - before
        sizes = rng.geometric(1 / self.requests, len(starts)).astype(np.int64)
        gaps = log_normal(rng, self.pause, self.pause_sigma, int(sizes.sum()))
        times = np.repeat(starts, sizes) + running_totals(gaps, sizes)
        session = self.lengths.prompts(np.clip(starts, 0.0, None), rng)
        prompts = np.repeat(session, sizes) * log_normal(rng, 1.0, self.session_spread, len(times))
        prompts = np.clip(prompts, 4, self.lengths.max_prompt).round()
        outputs = self.lengths.outputs(np.clip(times, 0.0, None), rng)
        kept = (times >= 0) & (times < self.seconds)
        return sorted_trace(self.name, times[kept], prompts[kept], outputs[kept])
