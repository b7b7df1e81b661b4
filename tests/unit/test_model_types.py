"""Rules of the model's own types."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.infrastructure import (
    InfraServiceSpec,
    InfrastructureSpec,
)
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.scaling import (
    SloScaling,
)
from tests.helpers.graphs import (
    graph,
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SloScaling(min=5, max=2), "min 5 is above max 2"),
        (lambda: RolloutSpec(maximum_percent=90), "below 100"),
        (
            lambda: RolloutSpec(maximum_percent=100, minimum_healthy_percent=100),
            "can never replace",
        ),
        (lambda: InfraServiceSpec(), "exactly one"),
        (lambda: InfraServiceSpec(task_definition="x", endpoints=("y",)), "exactly one"),
        (lambda: InfrastructureSpec(), "give taskDefinition"),
        (
            lambda: InfrastructureSpec(
                task_definition="x", etcd=InfraServiceSpec(task_definition="y")
            ),
            "leave out etcd",
        ),
    ],
)
def test_the_model_refuses(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_graph_finds_its_components() -> None:
    declared = graph()
    assert declared.with_role(Role.PLANNER) is None
    assert declared.clusters == ("fargate", "gpu")
    with pytest.raises(KeyError):
        declared.component("none")
