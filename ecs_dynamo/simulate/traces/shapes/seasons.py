"""Shapes with daily and weekly seasons: a day, business weeks, a month, and random bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ecs_dynamo.simulate.traces.shapes.base import DAY, HOUR, Shape, random_times, wander
from ecs_dynamo.simulate.traces.shapes.crowds import crowd
from ecs_dynamo.simulate.traces.trace import Array


def daily(times: Array, peak: float, width: float, evening: float, night: float) -> Array:
    """Return the shape of a day of consumers: a peak, and a smaller one in the evening.

    ``peak`` is its hour and ``width`` its standard deviation in hours; ``evening`` is the height of
    the second peak, six hours later. ``night`` is the lowest level.
    """
    hour = (times % DAY) / HOUR
    day = np.exp(-0.5 * ((hour - peak) / width) ** 2)
    late = evening * np.exp(-0.5 * ((hour - peak - 6.0) / (width / 2)) ** 2)
    return np.asarray(night + day + late, dtype=np.float64)


def weekly(times: Array, weekend: float) -> Array:
    """Return the shape of a week: 1 on five working days, then the level ``weekend``."""
    return np.where((times // DAY) % 7 >= 5, weekend, 1.0)


def bursts(
    times: Array, starts: Array, rng: np.random.Generator, height: float, rise: float, decay: float
) -> Array:
    """Return a level of 1 with a burst at each of ``starts``, which adds about ``height``.

    Its size varies by up to half of that.
    """
    level = np.ones_like(times)
    for at in starts:
        level += height * rng.uniform(0.5, 1.5) * crowd(times, float(at), rise, decay)
    return level


@dataclass(frozen=True, slots=True, kw_only=True)
class Day(Shape):
    """One working day with a slow random ``drift``; the other fields are those of `daily`."""

    name: ClassVar[str] = "day"
    peak: float
    width: float
    evening: float
    night: float
    drift: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        shape = daily(times, self.peak, self.width, self.evening, self.night)
        return shape * wander(times, rng, self.drift, 1800.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursty(Shape):
    """A low base load with large bursts, ``each`` seconds apart on average.

    A burst adds ``height`` times the base load (within half of it) within ``rise`` seconds, and
    decays with the time constant ``decay`` seconds.
    """

    name: ClassVar[str] = "bursty"
    height: float
    rise: float
    decay: float
    each: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        starts = random_times(rng, self.seconds, self.each, 0.0)
        return bursts(times, starts, rng, self.height, self.rise, self.decay)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month(Day):
    """Weeks with daily and weekly seasons, drift and rare bursts.

    ``weekend`` is the level of the weekend. Bursts add ``height`` times the load (within half of
    it), ``each`` seconds apart on average, with the time constant ``decay`` seconds.
    """

    name: ClassVar[str] = "month"
    weekend: float
    height: float
    decay: float
    each: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        shape = daily(times, self.peak, self.width, self.evening, self.night)
        shape *= weekly(times, self.weekend)
        shape *= wander(times, rng, self.drift, 1800.0)
        starts = random_times(rng, self.seconds, self.each, 0.0)
        return shape * bursts(times, starts, rng, self.height, 60.0, self.decay)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessWeeks(Shape):
    """Office hours: the load rises within ``rise`` seconds at the hour ``opens`` and falls likewise
    at the hour ``closes``, with a dip of the share ``lunch`` around 12:30.

    ``night`` and ``weekend`` are the levels outside office hours. Each day has a random level of
    its own, with the relative standard deviation ``daily``, and a slow ``drift``.
    """

    name: ClassVar[str] = "business-weeks"
    opens: float
    closes: float
    rise: float
    lunch: float
    night: float
    weekend: float
    daily: float
    drift: float

    def level(self, times: Array, rng: np.random.Generator) -> Array:
        second = times % DAY
        opening = np.clip((second - self.opens * HOUR) / self.rise, 0.0, 1.0)
        closing = np.clip((self.closes * HOUR + self.rise - second) / self.rise, 0.0, 1.0)
        lunch = 1.0 - self.lunch * np.exp(-0.5 * ((second / HOUR - 12.5) / 0.5) ** 2)
        days = rng.normal(1.0, self.daily, int(self.seconds // DAY) + 1).clip(0.3, None)
        office = opening * closing * lunch * days[(times // DAY).astype(np.int64)]
        level = self.night + (1 - self.night) * office
        level = np.where(weekly(times, 0.0) > 0, level, self.weekend)
        return np.asarray(level * wander(times, rng, self.drift, 2400.0))
