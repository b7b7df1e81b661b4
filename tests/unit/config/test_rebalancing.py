"""Availability Zone rebalancing and health check grace in the graph file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import single_component_graph
from tests.unit.definitions.builders import ec2

ZONES = {"type": "spread", "field": "attribute:ecs.availability-zone"}


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ({"rollout": {"maximumPercent": 100, "minimumHealthyPercent": 50}}, "found 100"),
        ({"placement": {"strategy": [{"type": "binpack", "field": "memory"}]}}, "found binpack"),
        (
            {
                "placement": {
                    "constraints": [
                        {
                            "type": "memberOf",
                            "expression": "attribute:ecs.availability-zone == us-east-1a",
                        }
                    ]
                }
            },
            "constraint on ecs.availability-zone",
        ),
    ],
)
def test_what_rebalancing_does_not_go_with_is_rejected(
    tmp_path: Path, component: dict[str, Any], words: str
) -> None:
    path = single_component_graph(tmp_path, ec2(), availabilityZoneRebalancing=True, **component)
    with pytest.raises(InputError) as caught:
        load_graph(path, {})
    (problem,) = caught.value.problems
    assert problem.field == "components[0].availabilityZoneRebalancing"
    assert words in problem.message
    assert "remove availabilityZoneRebalancing" in (problem.remedy or "")
    load_graph(single_component_graph(tmp_path, ec2(), **component), {})


def test_rebalancing_and_a_grace_are_declared(tmp_path: Path) -> None:
    path = single_component_graph(
        tmp_path,
        ec2(),
        availabilityZoneRebalancing=True,
        placement={"strategy": [ZONES, {"type": "binpack", "field": "memory"}]},
        rollout={"healthCheckGraceSeconds": 2_147_483_647},
    )
    component = load_graph(path, {}).graph.component("app")
    assert component.settings.availability_zone_rebalancing
    assert component.settings.health_check_grace_seconds == 2_147_483_647


@pytest.mark.parametrize("seconds", [-1, 2_147_483_648, 1.5])
def test_a_grace_that_ecs_does_not_take_is_rejected(tmp_path: Path, seconds: float) -> None:
    path = single_component_graph(tmp_path, ec2(), rollout={"healthCheckGraceSeconds": seconds})
    with pytest.raises(InputError) as caught:
        load_graph(path, {})
    fields = {problem.field for problem in caught.value.problems}
    assert "components[0].rollout.healthCheckGraceSeconds" in fields
