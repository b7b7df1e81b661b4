"""The interface of scalers in the simulator, and the scaler that runs a production policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from ecs_dynamo.model.memory.scaling import (
    ColdStart,
    ColdStarts,
    ScalingState,
)
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.cold_start import KEPT
from ecs_dynamo.planning.scaling.policy import ScalingInput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.schedule import scheduled


@dataclass(frozen=True, slots=True)
class View:
    """A scaler's view of a pool at ``now``, once per tick of ``tick`` seconds.

    ``queue`` counts the unfinished requests (waiting and in service) and ``waiting`` those that
    have not started. ``arrived`` and ``done`` count requests since the last tick; ``work`` is the
    service time of those that arrived, in slot-seconds. ``busy`` is the number of slots in use;
    each replica has ``slots``. ``starting`` holds launch times, ``cold_starts`` the durations of
    the last completed cold starts.
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
        output = decide(
            ScalingInput(
                component="pool",
                spec=scheduled(self._spec, now) if self._spec.schedule else self._spec,
                current=view.current,
                signals=(
                    Signal(
                        "pool", SignalKind.QUEUE_DEPTH, float(view.queue), "requests", observed_at
                    ),
                    Signal(
                        "pool",
                        SignalKind.ARRIVAL_RATE,
                        view.arrived / view.tick,
                        "requests/s",
                        observed_at,
                    ),
                ),
                state=self._state,
                observing_since=self._since,
                now=now,
                ready=view.ready,
                starting=view.starting,
                declared=view.current,
            )
        )
        self._state = output.state
        self.reason = output.decision.reason
        return output.decision.desired
