"""Several signals, one demand: of every kind the largest fresh value; stale ones do not count."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.planning.scaling.policy import ScalingInput

MAX_VALUE = 1e15
"""Above, a float does not count by ones any more: no demand is as large."""
WAITING_KINDS = ("queue_depth", "in_flight")


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a component now. None: nothing fresh tells of it.

    ``queue`` counts requests that are not done, ``arrival_rate`` is requests/s, ``replicas`` a
    count that somebody else decided (Dynamo's planner). ``why_not`` is set where all is stale;
    ``incomplete`` where a source that has told something before is stale now, and where it told in
    part (``partial``): then the demand may be larger than what is seen.
    """

    queue: float | None
    arrival_rate: float | None
    replicas: float | None
    unit: str = "requests"
    why_not: str | None = None
    incomplete: bool = False
    partial: bool = False


def is_count(signal: Signal) -> bool:
    """Whether a signal's value and its time are numbers that can be."""
    finite = math.isfinite(signal.observed_at) and math.isfinite(signal.max_age)
    return finite and 0 <= signal.value <= MAX_VALUE


def read_demand(given: ScalingInput) -> Demand:
    """The demand in the signals of ``given``."""
    limit = given.spec.max_signal_age_seconds
    best: dict[str, tuple[float, str]] = {}
    youngest: float | None = None
    incomplete = partial = False
    # `in_flight` of a frontend is the whole graph's: only where a source has nothing better.
    queued = {s.source for s in given.signals if s.kind == "queue_depth"}
    for signal in given.signals:
        if not is_count(signal):
            # No count, NaN included: nothing of it may get into a decision, or stay in the state.
            incomplete = True
            continue
        age = signal.age(given.now)
        youngest = age if youngest is None else min(youngest, age)
        if age > max(limit, signal.max_age):
            incomplete = True
            continue
        partial = partial or signal.partial
        kind = signal.kind
        if kind == "in_flight":
            if signal.source in queued:
                continue
            kind = "queue_depth"
        if kind not in best or signal.value > best[kind][0]:
            best[kind] = (signal.value, signal.unit)
    queue, rate, replicas = (
        best[kind][0] if kind in best else None
        for kind in ("queue_depth", "arrival_rate", "desired_replicas")
    )
    why_not = None
    if queue is None and rate is None and replicas is None:
        told = "no signal" if youngest is None else f"newest signal is {youngest:.0f} s old"
        why_not = f"held, {told} (at most {limit:.0f} s)"
    unit = best["queue_depth"][1] if "queue_depth" in best else "requests"
    return Demand(queue, rate, replicas, unit, why_not, incomplete or partial, partial)
