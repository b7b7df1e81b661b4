"""How many revisions are kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.plan import Memory, RetireRevisions
from ecs_dynamo.model.spec.rollout import (
    CanarySpec,
    RolloutSpec,
)
from tests.helpers.convergence import (
    converge,
)
from tests.helpers.facts import degraded
from tests.helpers.graphs import (
    with_image,
)
from tests.helpers.rollouts import fresh_pass, ready_graph


@given(keep=st.integers(1, 4), edits=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_old_revisions_are_kept_to_the_declared_number(keep: int, edits: int) -> None:
    declared, ecs = ready_graph(1, 6, keep_revisions=keep)
    for number in range(2, edits + 2):
        ecs.graph = declared = with_image(declared, "decode", f"dynamo:{number}")
        converge(ecs, declared, Memory(started_at=ecs.now))
        family = [r.number for r in ecs.revisions.values() if r.family == "g-decode"]
        assert family == list(range(max(1, number - keep + 1), number + 1))
    result = fresh_pass(ecs, declared)
    assert result.converged
    assert not result.actions


def test_the_last_good_revision_outlives_the_number_that_is_kept() -> None:
    declared, ecs = ready_graph(1, 6, keep_revisions=1)
    ecs.mute_images |= {f"dynamo:{n}" for n in range(2, 9)}
    for number in range(2, 6):
        ecs.graph = declared = with_image(declared, "decode", f"dynamo:{number}")
        for _ in range(3):  # Given up before its deadline, for another that is no better.
            result = fresh_pass(ecs, declared)
            assert not [a for a in result.actions if isinstance(a, RetireRevisions)]
    for _ in range(60):
        result = fresh_pass(ecs, declared)
    assert degraded(result, "decode") == "NeverRegistered"
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:1"


def test_rollout_settings_are_refused_where_they_mean_nothing() -> None:
    from pydantic import ValidationError

    from ecs_dynamo.model.spec.component import ComponentSpec
    from ecs_dynamo.model.spec.infrastructure import InfrastructureSpec

    canary = RolloutSpec(canary=CanarySpec())
    with pytest.raises(ValidationError, match="for workers, not for a frontend"):
        ComponentSpec(name="f", type="frontend", task_definition="x", rollout=canary)
    with pytest.raises(ValidationError, match="for workers"):
        InfrastructureSpec(task_definition="x", rollout=canary)
