"""The drain time of rollouts."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.graphs import (
    with_image,
)
from tests.helpers.rollouts import fresh_pass, ready_graph


@given(
    decode=st.integers(2, 4),
    spare=st.integers(0, 4),
    busy=st.sets(st.integers(0, 3)),
    work=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_a_roll_lets_pending_work_finish_within_the_drain_time_and_no_longer(
    decode: int, spare: int, busy: set[int], work: int
) -> None:
    declared, ecs = ready_graph(decode, 1 + decode + spare)
    drain = declared.runtime.drain_seconds
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    old = list(service.tasks)
    ecs.busy = {t.arn for i, t in enumerate(old) if i in busy}
    spared: dict[str, float] = {}
    for number in range(120):
        if number == work:
            ecs.busy = set()
        before = {t.arn for t in service.tasks}
        idle = [t.arn for t in old if t.arn in before and t.arn not in ecs.busy]
        result = fresh_pass(ecs, edited)
        gone = before - {t.arn for t in service.tasks}
        fresh = sum(t.age >= 1 for t in service.tasks if t not in old)
        room = fresh + sum(t.arn in before for t in old) - decode
        for arn in before & ecs.busy:
            if room > len(idle):
                spared.setdefault(arn, ecs.now)
        for arn in gone & ecs.busy:
            # A busy replica is released only after idle ones, and after its drain time.
            assert not set(idle) - gone
            assert ecs.now - spared.get(arn, 0.0) >= drain
        if result.converged:
            break
    assert result.converged
    # Each step waits for one drain time at most (whole minutes, with a margin).
    assert number * 10 <= 100 + decode * (math.ceil(drain / 60) * 60 + 60 + 60)
