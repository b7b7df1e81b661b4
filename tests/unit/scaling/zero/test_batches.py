"""Batches with idle gaps in a closed loop: refused clients try again until they are served."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.registry import decide
from tests.helpers.scaling import TICK, scaling_input, spec

COLD_START = 210.0
RETRY_SECONDS = 8.0
SERVICE_SECONDS = 10.0
BATCH_SECONDS = 600.0
RATE = 0.25
"""Requests/s of a batch: two and a half replicas are busy."""


@dataclass
class Run:
    """GPU seconds, seconds at zero, and the most replicas launched before one was ready."""

    gpu_seconds: float = 0.0
    first_launch: int = 0
    at_zero_seconds: float = 0.0


def run_batches(scaling: ScalingSpec, gap: float, batches: int = 6) -> Run:
    """Run batches that begin ``BATCH_SECONDS + gap`` apart."""
    state, run, launches = ScalingState(), Run(), [-COLD_START]
    queue = retrying = now = 0.0
    current = 1
    while now < batches * (BATCH_SECONDS + gap):
        now += TICK
        arrived = RATE * TICK if now % (BATCH_SECONDS + gap) < BATCH_SECONDS else 0.0
        ready = sum(at + COLD_START <= now for at in launches)
        refused = 0.0
        if ready:
            queue += arrived + retrying
            retrying = 0.0
            queue = max(0.0, queue - ready * TICK / SERVICE_SECONDS)
        else:
            refused = arrived + retrying * TICK / RETRY_SECONDS
            retrying += arrived
        out = decide(
            scaling_input(
                scaling,
                now,
                current,
                ("queue_depth", queue, 0.0),
                ("arrival_rate", arrived / TICK if ready else 0.0, 0.0),
                ("rejection_rate", refused / TICK, 0.0),
                state=state,
                ready=ready,
                starting=tuple(at for at in launches if at + COLD_START > now),
            )
        )
        state, current = out.state, out.decision.desired
        launches = sorted(launches)[: min(current, len(launches))]
        launches += [now] * (current - len(launches))
        run.gpu_seconds += len(launches) * TICK
        if not ready:
            run.first_launch = max(run.first_launch, len(launches))
            run.at_zero_seconds += TICK * (not launches)
    return run


@pytest.mark.parametrize("gap", [120.0, 900.0, 3600.0])
def test_scale_to_zero_costs_no_more_than_a_replica_that_stays(gap: float) -> None:
    stays = run_batches(spec(min=1, max=40, cold_start_seconds=COLD_START), gap)
    leaves = run_batches(spec(min=0, max=40, cold_start_seconds=COLD_START), gap)
    assert leaves.gpu_seconds <= 1.02 * stays.gpu_seconds
    # Fifty clients are refused until the first replica is ready, and try again all the time.
    assert leaves.first_launch <= 6
    assert (leaves.at_zero_seconds > 0) == (gap > COLD_START * 2)


def test_policy_queue_starts_one_replica_and_saves_gpu_time_in_gaps_of_hours() -> None:
    values = {"policy": "queue", "max": 40}
    stays, leaves = (run_batches(spec(min=low, **values), 7200.0, 4) for low in (1, 0))
    assert leaves.first_launch == 1
    assert leaves.gpu_seconds < 0.8 * stays.gpu_seconds
