"""Properties of canaries."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.graph import TAG_CANARY, TAG_GOOD
from ecs_dynamo.model.spec.rollout import (
    CanarySpec,
)
from tests.helpers.facts import degraded
from tests.helpers.graphs import (
    with_image,
)
from tests.helpers.rollouts import fresh_pass, ready_graph


@given(decode=st.integers(1, 5), spare=st.integers(0, 5), bake=st.sampled_from([0, 60, 300]))
@settings(max_examples=40, deadline=None)
def test_a_good_canary_is_alone_until_it_has_baked_and_is_then_promoted(
    decode: int, spare: int, bake: float
) -> None:
    declared, ecs = ready_graph(decode, 1 + decode + spare, canary=CanarySpec(bake_seconds=bake))
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    first_ready: float | None = None
    for _ in range(120):
        result = fresh_pass(ecs, edited)
        new = [t for t in service.tasks if ecs._image(t.revision) == "dynamo:2"]
        old = [t for t in service.tasks if t not in new]
        if any(t.age >= 1 for t in new) and first_ready is None:
            first_ready = ecs.now
        if "promoted" not in service.tags.get(TAG_CANARY, ""):
            assert len(new) <= 1
            assert len(old) >= decode - (not spare)
        elif first_ready is not None:
            assert ecs.now - first_ready >= bake
        if result.converged:
            break
    assert result.converged
    assert {ecs._image(t.revision) for t in service.tasks} == {"dynamo:2"}
    assert (service.minimum, service.maximum) == (100, 200)
    assert service.tags[TAG_GOOD] == "2"


@given(decode=st.integers(1, 4), spare=st.integers(0, 3), how=st.sampled_from(["mute", "dies"]))
@settings(max_examples=30, deadline=None)
def test_a_bad_canary_is_rolled_back_while_the_others_serve(
    decode: int, spare: int, how: str
) -> None:
    # The only replica of a full cluster has nobody beside it: there is no canary then.
    assume(decode + spare > 1 or how == "mute")
    declared, ecs = ready_graph(
        decode, 1 + decode + spare, canary=CanarySpec(bake_seconds=120), circuit_breaker=False
    )
    if how == "mute":
        ecs.mute_images.add("dynamo:2")
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    died: int | None = None
    for number in range(120):
        if how == "dies" and "baking" in service.tags.get(TAG_CANARY, ""):
            # It was ready, and then exits each time.
            ecs.crashes["dynamo:2"] = ("EssentialContainerExited", "exited")
            died = died if died is not None else number
            for task in service.tasks:
                task.bad = ecs._image(task.revision) == "dynamo:2"
        result = fresh_pass(ecs, edited)
        assert len(ecs.serving("decode")) >= decode - (not spare), number
        if result.stuck:
            break
    assert result.stuck
    # At once, not by its deadline; ECS replaces all by a new deployment, one at a time at worst,
    # and each of them stays ready for a lease (three steps) before the next goes.
    assert died is None or number - died < 10 + 5 * decode
    assert degraded(result, "decode") == ("NeverRegistered" if how == "mute" else "CanaryFailed")
    for _ in range(10):
        result = fresh_pass(ecs, edited)
    assert not result.actions
    assert {ecs._image(t.revision) for t in service.tasks} == {"dynamo:1"}


def test_a_canary_without_a_request_waits_while_others_serve_but_not_indefinitely() -> None:
    declared, ecs = ready_graph(2, 6, canary=CanarySpec(bake_seconds=100))
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    service = ecs.services["g-decode"]
    ecs.served_by = {t.arn for t in service.tasks}
    observed = []
    for _ in range(40):
        result = fresh_pass(ecs, edited)
        observed += [w.reason for w in result.waits if w.component == "decode"]
        if result.converged:
            break
    assert result.converged
    waited = [s for s in observed if s == "the canary has had no request yet"]
    assert 5 <= len(waited) <= 15
    assert any("bakes for" in s for s in observed)
