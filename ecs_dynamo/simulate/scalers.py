"""The interface of scalers in the simulator, and the scaler that runs a production policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.scaling import (
    ColdStart,
    ColdStarts,
    ScalingState,
)
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.cold_start import KEPT
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import scheduled
from ecs_dynamo.simulate.fleet import PoolName


@dataclass(frozen=True, slots=True)
class View:
    """A scaler's view of a pool at ``now``, once per tick of ``tick`` seconds.

    ``queue`` counts the unfinished requests (waiting and in service) and ``waiting`` those that
    have not started. ``arrived`` and ``done`` count requests since the last tick; ``work`` is the
    service time of those that arrived, in slot-seconds. ``busy`` is the number of slots in use;
    each replica has ``slots``. ``starting`` holds launch times, ``cold_starts`` the durations of
    the last completed cold starts.

    The rest is what the frontends' metrics report about the whole graph since the last tick:
    ``front_arrived`` requests and ``prompt_tokens`` arrived, ``prompts_done`` prompt tokens got
    their first output token, ``output_tokens`` were generated, and ``outputs_done`` are those of
    requests that ended. ``upstream`` requests have not reached the pool yet. ``itl_seconds`` is the
    mean time per output token, in seconds. ``late_share`` of the first tokens came later than the
    target. ``kv_usage`` is the share of the pool's KV cache in use, and ``utilization`` that of its
    GPUs' time. ``rejected`` requests met no replica.
    """

    now: float
    tick: float
    current: int
    ready: int
    starting: tuple[float, ...]
    queue: int
    waiting: int
    busy: int
    slots: int
    arrived: int
    done: int
    work: float
    cold_starts: tuple[float, ...]
    pool: PoolName = PoolName.PREFILL
    front_arrived: int = 0
    prompt_tokens: float = 0.0
    prompts_done: float = 0.0
    output_tokens: float = 0.0
    outputs_done: float = 0.0
    upstream: int = 0
    itl_seconds: float | None = None
    late_share: float | None = None
    kv_usage: float = 0.0
    utilization: float = 0.0
    cached_share: float = 0.0
    rejected: int = 0


class Scaler(Protocol):
    """A scaler decides the desired count of one pool. It may keep state."""

    def decide(self, view: View) -> int: ...


class PolicyScaler:
    """A production policy with the inputs that the daemon gives it.

    Signals are ``lag`` seconds old at the decision, as scraped metrics are.
    """

    def __init__(self, spec: ScalingSpec, *, lag: float = 0.0, start: float = 0.0) -> None:
        self._spec = spec
        self._state = ScalingState()
        self._lag = lag
        # The daemon has been running for a day: restarts are not simulated.
        self._since = start - 86_400.0
        self.reason = ""
        self.inputs: ScalingInput[ScalingSpec] | None = None
        self.output: ScalingOutput | None = None

    def decide(self, view: View) -> int:
        """Return the policy's decision for one pass."""
        now = view.now
        observed_at = now - self._lag
        known = self._state.cold_starts.samples
        if len(view.cold_starts) and (not known or known[-1].task != str(len(view.cold_starts))):
            recent = view.cold_starts[-KEPT:]
            first = len(view.cold_starts) - len(recent) + 1
            samples = tuple(ColdStart(str(first + i), s) for i, s in enumerate(recent))
            self._state = replace(self._state, cold_starts=ColdStarts(samples))
        self.inputs = ScalingInput(
            component=view.pool.value,
            spec=scheduled(self._spec, now) if self._spec.schedule else self._spec,
            current=view.current,
            signals=tuple(
                Signal(view.pool.value, kind, value, unit, observed_at)
                for kind, value, unit in _measurements(view)
            ),
            state=self._state,
            observing_since=self._since,
            now=now,
            ready=view.ready,
            starting=view.starting,
            declared=view.current,
            roles=ROLES[view.pool],
            # The slots are those of the engine's command line (vLLM's --max-num-seqs).
            engine_limit=float(view.slots) or None if view.pool is PoolName.DECODE else None,
        )
        self.output = output = decide(self.inputs)
        self._state = output.state
        self.reason = output.decision.reason
        return output.decision.desired


ROLES = {
    PoolName.PREFILL: frozenset({Role.PREFILL}),
    PoolName.DECODE: frozenset({Role.DECODE}),
}
"""The roles of the components that the pools stand for."""


def _measurements(view: View) -> list[tuple[SignalKind, float, str]]:
    """Return (kind, value, unit) of what the frontends' metrics report about a pool."""
    measured = [
        (SignalKind.QUEUE_DEPTH, float(view.queue), "requests"),
        (SignalKind.ARRIVAL_RATE, view.front_arrived / view.tick, "requests/s"),
        (SignalKind.PROMPT_ARRIVAL_RATE, view.prompt_tokens / view.tick, "tokens/s"),
        (SignalKind.PROMPT_RATE, view.prompts_done / view.tick, "tokens/s"),
        (SignalKind.OUTPUT_RATE, view.output_tokens / view.tick, "tokens/s"),
        (SignalKind.REJECTION_RATE, view.rejected / view.tick, "requests/s"),
    ]
    if view.pool is PoolName.DECODE:
        # A frontend cannot tell requests that wait at a prefill worker from those in prefill.
        measured.append((SignalKind.WAITING, float(view.waiting), "requests"))
        measured.append((SignalKind.UPSTREAM, float(view.upstream), "requests"))
        measured.append((SignalKind.KV_USAGE, view.kv_usage, "share"))
    if view.itl_seconds is not None:
        measured.append((SignalKind.ITL, view.itl_seconds, "s"))
    if view.late_share is not None:
        measured.append((SignalKind.LATE_SHARE, view.late_share, "share"))
    return measured
