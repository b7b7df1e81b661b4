"""Properties of draining instances."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.plan import Memory
from tests.helpers.convergence import (
    converge,
)
from tests.helpers.rollouts import fresh_pass, ready_graph


@given(decode=st.integers(1, 4), count=st.integers(1, 3), spare=st.integers(0, 4), data=st.data())
@settings(max_examples=50, deadline=None)
def test_replacements_start_beside_what_a_draining_instance_takes_away(
    decode: int, count: int, spare: int, data: st.DataObject
) -> None:
    declared, ecs = ready_graph(decode, 1 + decode + spare)
    service = ecs.services["g-decode"]
    before = list(service.tasks)
    going = data.draw(st.permutations(before))[: min(count, decode)]
    ecs.busy = {before[i].arn for i in data.draw(st.sets(st.integers(0, decode - 1)))}
    ecs.slow = data.draw(st.integers(0, 4), "steps until a replacement registers")
    ecs.drained |= {t.instance for t in going if t.instance is not None}
    for number in range(60):
        result = fresh_pass(ecs, declared)
        # No replica is released before its replacement is ready, if there is any capacity.
        assert len(ecs.serving("decode")) >= decode
        if number == 20:
            ecs.gpu_instances += count  # More instances come; until then some wait for a place.
        if result.converged:
            break
    assert result.converged
    assert not [t for t in service.tasks if ecs.leaves(t)]
    assert len(service.tasks) == decode
    assert (service.minimum, service.maximum) == (100, 200)


@given(spare=st.integers(0, 2), rebalance=st.booleans(), decode=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_a_spot_notice_drains_its_instance_and_leaves_time_to_finish(
    spare: int, rebalance: bool, decode: int
) -> None:
    declared, ecs = ready_graph(decode, 1 + decode + spare)
    service = ecs.services["g-decode"]
    going = service.tasks[0]
    assert going.instance is not None
    ecs.notices = {f"i-{going.instance}": Notice(ecs.now, interruption=not rebalance)}
    noticed = ecs.now
    for _ in range(14):
        fresh_pass(ecs, declared)
        if going not in service.tasks:
            break
    assert ecs.drained == {going.instance}
    if rebalance and not spare:
        assert going in service.tasks  # No place for another, and no end is certain.
    else:
        assert going not in service.tasks
        assert ecs.now - noticed <= 110
    if spare:
        assert len(ecs.serving("decode")) >= decode
    foreign = Notice(ecs.now, interruption=True)
    ecs.notices = {"i-999": foreign}
    ecs.gpu_instances += 1
    converge(ecs, declared, Memory(started_at=ecs.now))
    assert ecs.drained == {going.instance}
    assert (service.minimum, service.maximum) == (100, 200)
