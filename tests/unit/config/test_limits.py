"""Deployment limits that fit no count, and what replicas run on, as `validate` sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.local.registration import admit, compatibilities
from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.graph import NetworkMode
from tests.helpers.graph_files import single_component_graph
from tests.unit.definitions.builders import container, ec2, fargate


@pytest.mark.parametrize(
    ("component", "count", "remedy"),
    [
        ({}, 1, "set maximumPercent to 200, or minimumHealthyPercent to 0"),
        ({"replicas": 3, "scaling": {"min": 0, "max": 9}}, 1, "to 200"),
        ({"replicas": 3}, None, ""),
        ({"replicas": 2, "scaling": {"min": 2, "max": 4}}, None, ""),
        ({"replicas": 0}, None, ""),
        ({"replicas": 3, "scaling": {"policy": "static", "min": 0, "max": 9}}, None, ""),
        (
            {
                "replicas": 3,
                "scaling": {
                    "policy": "static",
                    "max": 9,
                    "schedule": [{"cron": "0 22 * * *", "hours": 8, "max": 1}],
                },
            },
            1,
            "to 200",
        ),
    ],
)
@pytest.mark.parametrize("least", [50, 100])
def test_limits_that_fit_no_count_are_a_warning(
    tmp_path: Path, component: dict[str, Any], count: int | None, remedy: str, least: int
) -> None:
    rollout = {"minimumHealthyPercent": least, "maximumPercent": 150}
    loaded = load_graph(single_component_graph(tmp_path, ec2(), rollout=rollout, **component), {})
    warnings = [w for w in loaded.warnings if (w.field or "").startswith("components[0].rollout")]
    assert [w.field for w in warnings] == (
        ["components[0].rollout.maximumPercent"] if count else []
    )
    for warning in warnings:
        assert f"with a count of {count}, {least}-150 % mean" in warning.message
        assert remedy in (warning.remedy or "")


def managed(**more: Any) -> dict[str, Any]:
    result = ec2(container(), cpu="256", memory="512", **more)
    del result["networkMode"]
    return {**result, "requiresCompatibilities": ["MANAGED_INSTANCES"]}


def test_task_definitions_for_managed_instances_are_accepted(tmp_path: Path) -> None:
    providers = [{"name": "mi-gpu", "weight": 1}]
    component = load_graph(
        single_component_graph(tmp_path, managed(), capacityProviders=providers), {}
    ).graph.component("app")
    assert component.network_mode is NetworkMode.AWSVPC
    both = {**ec2(), "requiresCompatibilities": ["EC2", "MANAGED_INSTANCES"]}
    for more in ({"capacityProviders": providers}, {"launchType": "EC2"}):
        load_graph(single_component_graph(tmp_path, both, **more), {})


def test_the_local_ecs_takes_task_definitions_for_managed_instances() -> None:
    result = admit(managed())
    assert result["networkMode"] == "awsvpc"
    assert "MANAGED_INSTANCES" in compatibilities(result)
    either = {**managed(), "requiresCompatibilities": ["EC2", "MANAGED_INSTANCES"]}
    assert "networkMode" not in admit(either)


@pytest.mark.parametrize(
    ("definition", "component", "field", "words"),
    [
        (managed(), {}, "components[0]", "declare capacityProviders"),
        (managed(), {"launchType": "EC2"}, "components[0].launchType", "declare capacityProviders"),
        (
            managed(),
            {"capacityProviders": [{"name": "FARGATE"}]},
            "components[0].capacityProviders",
            "name other capacityProviders",
        ),
        (
            fargate(),
            {"capacityProviders": [{"name": "mi-gpu"}]},
            "components[0].capacityProviders",
            "name other capacityProviders",
        ),
        (fargate(), {}, "components[0]", "change one of them"),
    ],
)
def test_what_does_not_fit_is_reported_at_a_field_that_is_there(
    tmp_path: Path, definition: dict[str, Any], component: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_graph(single_component_graph(tmp_path, definition, **component), {})
    problems = [p for p in caught.value.problems if "requiresCompatibilities" in p.message]
    assert [p.field for p in problems] == [field]
    assert words in (problems[0].remedy or "")


def test_shared_gpus_are_rejected_with_the_reason(tmp_path: Path) -> None:
    """Case: `sharingStrategy` came with botocore 1.44.8; an older one cannot send it."""
    sharing = {"nvidiaMps": {"memory": 4096, "maxComputePercent": 50}}
    needs = [{"type": "GPU", "sharingStrategy": sharing}]
    with pytest.raises(InputError) as caught:
        load_graph(single_component_graph(tmp_path, ec2(container(resourceRequirements=needs))), {})
    (problem,) = (p for p in caught.value.problems if "sharingStrategy" in (p.field or ""))
    assert "1.44.8" in problem.message
    assert "value" in (problem.remedy or "")


def test_the_gpus_of_a_static_component_are_those_of_its_count_within_the_bounds(
    tmp_path: Path,
) -> None:
    definition = ec2(container(resourceRequirements=[{"type": "GPU", "value": "2"}]))
    night = {"cron": "0 22 * * *", "hours": 8}
    for replicas, windows, least in ((3, [], 6), (3, [{**night, "max": 1}], 2)):
        scaling = {"policy": "static", "max": 4, "schedule": windows}
        folder = tmp_path / str(least)
        folder.mkdir()
        sections = {"capacity": {"maxGpus": least}}
        path = single_component_graph(
            folder, definition, sections, replicas=replicas, scaling=scaling
        )
        load_graph(path, {})
        path.write_text(path.read_text().replace(f"maxGpus: {least}", f"maxGpus: {least - 1}"))
        with pytest.raises(InputError, match=f"use {least} GPUs"):
            load_graph(path, {})
