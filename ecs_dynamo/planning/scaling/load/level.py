"""The level of a load that is measured with noise: smooth, until it has clearly changed.

A mean over minutes carries little noise, but recognizes a crowd minutes late. So the level is such
a mean while the last half minute lies in the band in which noise puts it. Outside of the band the
level is what the last half minute shows, and it is as young as that.
"""

from __future__ import annotations

import math

from ecs_dynamo.model.memory.load import Reading

RECENT_SECONDS = 30.0
BAND = 3.5
"""Standard deviations of the last half minute's mean, outside of which the level has changed."""
NOISE_SECONDS = 900.0
MIN_NOISE = 0.03
"""Relative: a load that was steady so far may still vary by this much without a change."""
LEARNING_SECONDS = 300.0
OUTLIER = 4.0
"""Once the noise is known, a difference counts for at most this many standard deviations of it."""


def young_weight(elapsed: float, age: float, constant: float) -> float:
    """Return the weight of a new value in a fading mean.

    A young mean is a plain mean, so that the first value, often a burst, does not linger.
    """
    return max(1.0 - math.exp(-elapsed / constant), elapsed / (age + elapsed))


def add_reading(recent: tuple[Reading, ...], reading: Reading) -> tuple[Reading, ...]:
    """Return the readings of the last half minute with ``reading``, and the one before it."""
    oldest = reading.at - RECENT_SECONDS
    return (*(r for r in recent[:-1] if r.at > oldest), *recent[-1:], reading)


def mean_of(recent: tuple[Reading, ...]) -> tuple[float, float]:
    """Return the mean of readings, and the seconds that they cover."""
    seconds = sum(r.seconds for r in recent)
    return sum(r.value * r.seconds for r in recent) / seconds, seconds


def noise_after(noise: float, age: float, before: float, reading: Reading) -> float:
    """Return the standard deviation of one reading, from differences of successive ones.

    A drift is therefore not noise, and a jump counts for little. ``before`` is the value of the
    previous reading, and the noise has been observed for ``age`` seconds.
    """
    squared = 0.5 * (reading.value - before) ** 2
    if age > LEARNING_SECONDS:
        squared = min(squared, (OUTLIER * noise) ** 2)
    weight = young_weight(reading.seconds, age, NOISE_SECONDS)
    return math.sqrt(noise**2 + weight * (squared - noise**2))


def has_jumped(level: float, recent: tuple[Reading, ...], noise: float) -> bool:
    """Return whether the recent readings lie outside the band of noise around the level."""
    if len(recent) < 2:
        return False
    mean, seconds = mean_of(recent)
    spread = noise * math.sqrt(recent[-1].seconds / seconds)
    return abs(mean - level) > BAND * max(spread, MIN_NOISE * level)
