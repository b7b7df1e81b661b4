"""The graph file's model refuses settings that cannot work."""

import pytest
from pydantic import ValidationError

from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.scaling import SloScaling


def test_scaling_min_above_max_is_refused() -> None:
    with pytest.raises(ValidationError, match="min 5 is above max 2"):
        SloScaling(min=5, max=2)


def test_rollout_that_cannot_move_is_refused() -> None:
    with pytest.raises(ValidationError, match="can never replace a task"):
        RolloutSpec(minimum_healthy_percent=100, maximum_percent=100)
