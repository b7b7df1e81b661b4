"""Several signals, one demand: the largest fresh value of each kind; stale values do not count."""

from __future__ import annotations

import math

from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput

MAX_VALUE = 1e15
"""Above this a float no longer counts by ones; no demand is as large."""


def is_count(signal: Signal) -> bool:
    """Whether a signal's value and times are finite numbers in the possible range."""
    finite = math.isfinite(signal.observed_at) and math.isfinite(signal.max_age)
    return finite and 0 <= signal.value <= MAX_VALUE


def read_demand(inputs: ScalingInput[ScalingSpec]) -> Demand:
    """Return the demand that the signals of ``inputs`` report."""
    limit, now = inputs.spec.max_signal_age_seconds, inputs.now
    largest: dict[SignalKind, float] = {}
    unit = "requests"
    youngest: float | None = None
    incomplete = partial = False
    # A frontend's `in_flight` is the whole graph's, so it counts only for a source that reports
    # nothing better.
    queued = {s.source for s in inputs.signals if s.kind == SignalKind.QUEUE_DEPTH}
    for signal in inputs.signals:
        if not is_count(signal):
            # Neither NaN nor another impossible value may reach a decision or stay in the state.
            incomplete = True
            continue
        age = signal.age(now)
        if youngest is None or age < youngest:
            youngest = age
        if age > limit and age > signal.max_age:
            incomplete = True
            continue
        partial = partial or signal.partial
        kind = signal.kind
        if kind == SignalKind.IN_FLIGHT:
            if signal.source in queued:
                continue
            kind = SignalKind.QUEUE_DEPTH
        if kind not in largest or signal.value > largest[kind]:
            largest[kind] = signal.value
            if kind == SignalKind.QUEUE_DEPTH:
                unit = signal.unit
    value = largest.get
    queue, rate = value(SignalKind.QUEUE_DEPTH), value(SignalKind.ARRIVAL_RATE)
    replicas, refused = value(SignalKind.DESIRED_REPLICAS), value(SignalKind.REJECTION_RATE)
    why_stale = None
    if queue is None and rate is None and replicas is None and refused is None:
        newest = "no signal" if youngest is None else f"newest signal is {youngest:.0f} s old"
        why_stale = f"held, {newest} (at most {limit:.0f} s)"
    if rate is not None and not queue and (inputs.ready == 0 or (refused or 0.0) >= rate > 0):
        # Nothing queues, and this role or another one serves nothing: all that arrives is refused.
        # It must not be taken for work that was done.
        refused, rate = max(refused or 0.0, rate), None
    return Demand(
        queue,
        rate,
        replicas,
        unit,
        why_stale,
        incomplete or partial,
        partial,
        waiting=value(SignalKind.WAITING),
        upstream=value(SignalKind.UPSTREAM),
        rejection_rate=refused,
        prompt_arrival_rate=value(SignalKind.PROMPT_ARRIVAL_RATE),
        prompt_rate=value(SignalKind.PROMPT_RATE),
        output_rate=value(SignalKind.OUTPUT_RATE),
        itl_seconds=value(SignalKind.ITL),
        late_share=value(SignalKind.LATE_SHARE),
        cached_share=value(SignalKind.CACHED_SHARE),
        kv_usage=value(SignalKind.KV_USAGE),
    )
