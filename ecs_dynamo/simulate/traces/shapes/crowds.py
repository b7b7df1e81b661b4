"""Shapes with sudden load: flash crowds, a launch day, batch jobs and recurring bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ecs_dynamo.simulate.traces.shapes.base import Shape, random_times, wander
from ecs_dynamo.simulate.traces.trace import Array


def crowd(times: Array, at: float, rise: float, decay: float, length: float | None = None) -> Array:
    """Return a crowd that comes within ``rise`` seconds, from 0 to 1.

    After ``length`` seconds, by default as soon as it is complete, it decays with the time
    constant ``decay`` seconds.
    """
    after = times - at
    falling = np.exp(-np.clip(after - (rise if length is None else length), 0.0, None) / decay)
    return np.asarray(np.where(after >= 0, np.clip(after / rise, 0.0, 1.0) * falling, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashCrowds(Shape):
    """Crowds at random times, ``each`` seconds apart on average.

    A crowd multiplies the load by ``height`` (plus or minus ``height_spread`` of it) within
    ``rise`` seconds and decays with the time constant ``decay`` seconds. No crowd begins before
    ``quiet`` seconds.
    """

    name: ClassVar[str] = "flash-crowds"
    height: float
    height_spread: float
    rise: float
    decay: float
    each: float
    quiet: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        level = np.ones_like(times)
        for at in random_times(rng, self.seconds - self.rise, self.each, self.quiet):
            factor = rng.uniform(1 - self.height_spread, 1 + self.height_spread)
            level += (self.height * factor - 1) * crowd(times, float(at), self.rise, self.decay)
        return level


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchDay(Shape):
    """A product launch: the load becomes ``height`` times as high within ``rise`` seconds.

    It stays that high, but first it overshoots by the share ``hype``, with the time constant
    ``hype_seconds``. The launch is at a random time between the shares ``earliest`` and
    ``latest`` of the trace.
    """

    name: ClassVar[str] = "launch-day"
    height: float
    rise: float
    hype: float
    hype_seconds: float
    earliest: float
    latest: float
    drift: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        at = self.seconds * rng.uniform(self.earliest, self.latest)
        step = (self.height - 1) * np.clip((times - at) / self.rise, 0.0, 1.0)
        hype = self.hype * self.height * crowd(times, at, self.rise, self.hype_seconds)
        slow = wander(times, rng, self.drift, 1.7 * self.rise + 600.0)
        return np.asarray((1.0 + step + hype) * slow)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJobs(Shape):
    """Batch jobs with idle gaps in between, as scripts that send documents cause them.

    A job lasts ``job`` seconds on average (uniform within ``spread`` of it) and has a rate of its
    own (within ``spread`` of the trace's). Gaps last ``gap`` seconds on average (exponential, at
    least a quarter of that). The first job begins at once.
    """

    name: ClassVar[str] = "batch-jobs"
    job: float
    spread: float
    gap: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        level = np.zeros_like(times)
        at = 0.0
        while at < self.seconds:
            length = self.job * rng.uniform(1 - self.spread, 1 + self.spread)
            rate = rng.uniform(1 - self.spread, 1 + self.spread)
            level[(times >= at) & (times < at + length)] = rate
            at += length + self.gap * (0.25 + 0.75 * rng.exponential())
        return level


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringBursts(Shape):
    """Bursts every ``period`` seconds, as cron jobs cause them, and irregular bursts.

    A burst multiplies the load by ``height`` (within ``spread`` of it), comes within ``rise``
    seconds, lasts ``length`` seconds and ends with the time constant ``decay`` seconds. Regular
    bursts begin ``offset`` seconds after each period, up to ``late`` seconds late, and the share
    ``skipped`` of them does not come. Irregular bursts come ``each`` seconds apart on average.
    ``drift`` is the slow variation of the base load.
    """

    name: ClassVar[str] = "recurring-bursts"
    height: float
    spread: float
    rise: float
    length: float
    decay: float
    period: float
    offset: float
    late: float
    skipped: float
    each: float
    drift: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        regular = np.arange(self.offset, self.seconds, self.period)
        regular = regular[rng.uniform(size=len(regular)) >= self.skipped]
        regular = regular + rng.uniform(0.0, self.late, len(regular))
        irregular = random_times(rng, self.seconds, self.each, self.offset)
        level = wander(times, rng, self.drift, 2.5 * self.period)
        for at in np.concatenate((regular, irregular)):
            height = self.height * rng.uniform(1 - self.spread, 1 + self.spread)
            burst = crowd(times, float(at), self.rise, self.decay, self.length)
            level += (height - 1) * burst
        return level
