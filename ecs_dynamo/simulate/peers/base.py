"""Parts that several peers share: bounds, sliding windows and the grid of settings of a peer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.scalers import Scaler, View

Number = TypeVar("Number", int, float)


@dataclass(slots=True)
class Bounds:
    """Minimum and maximum number of replicas."""

    low: int
    high: int

    def clamp(self, count: int) -> int:
        return min(max(count, self.low), self.high)


@dataclass(slots=True)
class SlidingMean:
    """The mean of the values of the last ``seconds``; adding a value takes constant time."""

    seconds: float
    values: deque[tuple[float, float]] = field(default_factory=deque)
    total: float = 0.0

    def add(self, now: float, value: float) -> float:
        """Add a value and return the mean of those after ``now - seconds``."""
        self.values.append((now, value))
        self.total += value
        while self.values[0][0] <= now - self.seconds:
            self.total -= self.values.popleft()[1]
        return self.total / len(self.values)


@dataclass(slots=True)
class SlidingMax(Generic[Number]):
    """The largest value of the last ``seconds``; adding takes constant time on average."""

    seconds: float
    values: deque[tuple[float, Number]] = field(default_factory=deque)

    def add(self, now: float, value: Number) -> Number:
        """Add a value and return the largest of those since ``now - seconds``."""
        while self.values and self.values[-1][1] <= value:
            self.values.pop()
        self.values.append((now, value))
        while self.values[0][0] < now - self.seconds:
            self.values.popleft()
        return self.values[0][1]


def stabilized(window: SlidingMax[int], view: View, desired: int) -> int:
    """Return ``desired`` or, below the current count, the largest recommendation of a window."""
    largest = window.add(view.now, desired)
    return desired if desired >= view.current else min(view.current, largest)


def tasks(view: View) -> int:
    """Return the ready and the starting replicas, at least one, to divide a backlog by."""
    return max(view.ready + len(view.starting), 1)


def occupancy(view: View) -> float:
    """Return the share of a replica's capacity in use, as its KV cache metric shows it.

    A simulated cache may be larger than the slots can fill. The share of busy slots counts then,
    in favour of peers on cache metrics.
    """
    busy = view.busy / (view.ready * view.slots) if view.ready else 0.0
    return max(view.kv_usage, busy)


MakePeer = Callable[[Bounds, float], Scaler]


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer and its targets to try: first the default, then those that a careful user would try.

    A target of ``prefill`` is a number of requests per replica (or what the peer defines). With
    ``share_of_slots``, one of ``decode`` is a share of a replica's slots. ``options`` are further
    settings beside the defaults, by a label such as "stable=300"; each is tried with every target.
    """

    make: MakePeer
    prefill: tuple[float, ...]
    decode: tuple[float, ...]
    share_of_slots: bool = True
    options: Mapping[str, MakePeer] = field(default_factory=dict)

    def scaler(
        self, pool: PoolName, slots: int, bounds: Bounds, targets: tuple[float, float]
    ) -> Scaler:
        """Return the scaler of a pool for (prefill, decode) targets."""
        if pool is PoolName.PREFILL:
            return self.make(bounds, targets[0])
        return self.make(bounds, targets[1] * slots if self.share_of_slots else targets[1])

    def variants(self) -> Iterator[tuple[str, Peer]]:
        """Yield (label, peer) of the defaults, labelled "", and of each of the options."""
        yield "", replace(self, options={})
        for label, make in self.options.items():
            yield label, replace(self, make=make, options={})
