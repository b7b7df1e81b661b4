"""GPU requirements: the forms that ECS accepts, and those that it rejects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.local.placement.resources import (
    ALL_GPUS,
    RemainingResources,
    ResourceRequest,
    gpu_slots,
    requested_resources,
)
from ecs_dynamo.local.placement.selection import NO_RULES, unmet_requirement
from ecs_dynamo.model.ecs.gpus import GpuRequest, gpu_request, parse_gpus

BAD = ["", "two", "all", "0", "-1", "0.0", "1e3", "NaN", "inf", "1.", ".5.", " 1", "None", "²"]


def content(*values: object) -> dict[str, Any]:
    return {
        "containerDefinitions": [
            {"name": f"c{n}", "resourceRequirements": [{"type": "GPU", "value": value}]}
            for n, value in enumerate(values)
        ]
    }


@pytest.mark.parametrize(
    ("value", "slots"), [("1", 1), ("8", 8), ("0.25", 1), ("0.5", 1), (".125", 1), (4, 4)]
)
def test_numbers_and_fractions_are_counted_in_slots(value: object, slots: int) -> None:
    assert parse_gpus(value) == GpuRequest(slots)
    assert gpu_slots(str(value)) == slots


@pytest.mark.parametrize("value", BAD)
def test_values_that_ecs_rejects_are_rejected_by_graph_and_local_ecs(value: str) -> None:
    with pytest.raises(ValueError, match="GPUs"):
        parse_gpus(value)
    if value != "1.":  # Python reads it as 1; in practice it is not used.
        with pytest.raises(ValueError):
            gpu_slots(value)


def test_all_takes_every_gpu_of_an_instance() -> None:
    assert parse_gpus("ALL") == GpuRequest(1, all=True)
    assert gpu_request(content("ALL", "1")) == GpuRequest(2, all=True)
    request = requested_resources(content("ALL"), "host")
    assert request.gpus == ALL_GPUS
    instance = RemainingResources("a", 4096, 4096, 4, frozenset(), total_gpus=4)
    assert unmet_requirement(request, instance, NO_RULES) is None
    assert instance.after_placing(request).gpus == 0
    partly_used = instance.after_placing(ResourceRequest(0, 0, 1, frozenset()))
    assert unmet_requirement(request, partly_used, NO_RULES) == "RESOURCE:GPU"
    without_gpus = RemainingResources("b", 4096, 4096, 0, frozenset())
    assert unmet_requirement(request, without_gpus, NO_RULES) == "RESOURCE:GPU"


@given(st.lists(st.one_of(st.text(max_size=6), st.integers(), st.none(), st.floats()), max_size=3))
def test_no_value_of_a_foreign_revision_raises(values: list[object]) -> None:
    assert gpu_request(content(*values)).slots >= 0
