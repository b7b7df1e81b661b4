"""Inputs of scaling policies, and a pool under steady load."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ecs_dynamo.model.memory.scaling import (
    ScalingState,
)
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import (
    ScalingSpec,
    scaling_of,
)
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.registry import decide

TICK = 15.0


LONG_AGO = -1e6


def spec(**changes: Any) -> ScalingSpec:
    values: dict[str, Any] = {
        "min": 1,
        "max": 10,
        "scale_down_stabilization_seconds": 120.0,
        "max_signal_age_seconds": 30.0,
        "cold_start_seconds": 60.0,
    }
    return scaling_of({**values, **changes})


def scaling_input(
    scaling: ScalingSpec,
    now: float,
    current: int,
    *signals: tuple[str, float, float],
    **more: Any,
) -> ScalingInput[ScalingSpec]:
    """Signals are (kind, value, age)."""
    result: dict[str, Any] = {
        "component": "prefill",
        "spec": scaling,
        "current": current,
        "signals": tuple(
            Signal("prefill", SignalKind(kind), value, "requests", now - age, "frontend")
            for kind, value, age in signals
        ),
        "state": ScalingState(),
        "observing_since": LONG_AGO,
        "now": now,
        "ready": current,
    }
    return ScalingInput(**{**result, **more})


POLICY = st.sampled_from(["slo", "queue"])


def run_load(
    scaling: ScalingSpec, rate: float, service: float, ticks: int, current: int
) -> tuple[ScalingOutput, int]:
    """A steady load on a pool whose launches take one cold start; the last output and count."""
    state, now, queue = ScalingState(), 0.0, 0.0
    ready, starting = current, list[float]()
    out = None
    for _ in range(ticks):
        now += TICK
        ready += sum(at + 60 <= now for at in starting)
        starting = [at for at in starting if at + 60 > now]
        queue = max(rate * service, queue + (rate - ready / service) * TICK)
        out = decide(
            scaling_input(
                scaling,
                now,
                current,
                ("queue_depth", queue, 0),
                ("arrival_rate", rate, 0),
                state=state,
                ready=ready,
                starting=tuple(starting),
            )
        )
        state, desired = out.state, out.decision.desired
        starting += [now] * max(0, desired - current)
        ready -= max(0, current - desired)
        current = desired
    assert out is not None
    return out, current
