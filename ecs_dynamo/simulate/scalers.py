"""What decides counts in the simulator: the production policies, and the peers behind one face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ecs_dynamo.model.memory.scaling import (
    ColdStarts,
    ScalingState,
)
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.cold_start import KEPT
from ecs_dynamo.planning.scaling.policy import ScalingInput
from ecs_dynamo.planning.scaling.registry import POLICIES
from ecs_dynamo.planning.scaling.schedule import scheduled


@dataclass(frozen=True, slots=True)
class View:
    """What a scaler may see of a pool at ``now``, once a tick of ``tick`` seconds.

    ``queue`` counts requests not done with the pool (waiting and in service), ``waiting`` those
    not started; ``arrived`` and ``done`` since the last tick, ``work`` the slot-seconds that what
    arrived will take; ``busy`` slots of ``slots`` a replica; ``starting`` launch times;
    ``cold_starts`` those completed so far.
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
    """Decides the desired count of one pool; may keep state of its own."""

    def decide(self, view: View) -> int: ...


class PolicyScaler:
    """A production policy, fed as the daemon feeds it.

    Signals are ``lag`` seconds old when they are decided on, as a scrape is.
    """

    def __init__(self, spec: ScalingSpec, *, lag: float = 0.0, start: float = 0.0) -> None:
        self._spec = spec
        self._policy = POLICIES[spec.policy]
        self._state = ScalingState()
        self._lag = lag
        # A daemon that has been up for a while: what it does after a restart is another test.
        self._since = start - 86_400.0
        self.reason = ""

    def decide(self, view: View) -> int:
        """One pass of the policy."""
        now = view.now
        seen = now - self._lag
        known = self._state.cold_starts.samples
        if len(view.cold_starts) and (not known or known[-1][0] != str(len(view.cold_starts))):
            recent = view.cold_starts[-KEPT:]
            first = len(view.cold_starts) - len(recent) + 1
            samples = tuple((str(first + i), s) for i, s in enumerate(recent))
            self._state = ScalingState(
                self._state.recommendations,
                ColdStarts(samples),
                self._state.forecast,
                self._state.service,
                self._state.busy_at,
            )
        output = self._policy(
            ScalingInput(
                component="pool",
                spec=scheduled(self._spec, now) if self._spec.schedule else self._spec,
                current=view.current,
                signals=(
                    Signal("pool", "queue_depth", float(view.queue), "requests", seen),
                    Signal("pool", "arrival_rate", view.arrived / view.tick, "requests/s", seen),
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
