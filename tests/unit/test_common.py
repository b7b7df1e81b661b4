"""Helpers that know nothing of graphs: ARNs, JSON values and bounded concurrency."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.common.arns import (
    Arn,
    is_arn,
    parse_arn,
    resource_name,
    revision_number,
    sibling_revision,
)
from ecs_dynamo.common.concurrency import map_concurrently
from ecs_dynamo.common.json_values import JsonPath, map_json

PART = st.text("abc-1", max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)
REVISION = "arn:aws:ecs:us-east-1:123456789012:task-definition/g-decode:7"


@given(PART, PART, PART, PART, st.text("abc:/", min_size=1, max_size=12))
def test_an_arn_is_parsed_to_its_parts_and_back(
    partition: str, service: str, region: str, account: str, resource: str
) -> None:
    arn = Arn(partition, service, region, account, resource)
    assert parse_arn(str(arn)) == arn


@pytest.mark.parametrize("text", ["", "name", "arn:aws:ecs", "x:aws:ecs:us-east-1:1:cluster/gpu"])
def test_other_texts_are_not_parsed_as_arns(text: str) -> None:
    assert parse_arn(text) is None


def test_names_and_revisions_of_arns() -> None:
    assert is_arn(REVISION)
    assert not is_arn("g-decode:7")
    assert resource_name("arn:aws:ecs:r:1:service/gpu/g-decode") == "g-decode"
    assert resource_name("gpu") == "gpu"
    assert (revision_number(REVISION), revision_number("g-decode")) == (7, 0)
    assert sibling_revision(REVISION, 5) == REVISION[:-1] + "5"
    assert sibling_revision("g-decode", 5) is None


@given(JSON)
def test_an_unchanged_leaf_leaves_the_value_unchanged(value: Any) -> None:
    assert map_json(value, lambda leaf, _: leaf) == value


@given(JSON)
def test_a_leaf_is_given_the_path_that_leads_to_it(value: Any) -> None:
    def check(leaf: Any, path: JsonPath) -> Any:
        part = value
        for key in path:
            part = part[key]
        assert part is leaf or part == leaf
        return leaf

    map_json(value, check)


def test_a_mapping_is_replaced_after_its_items_and_the_original_is_not_changed() -> None:
    value = {"a": {"b": 1}, "c": (2, 3)}
    mapped = map_json(
        value, lambda leaf, _: leaf + 1, lambda mapping, path: {**mapping, "depth": len(path)}
    )
    assert mapped == {"a": {"b": 2, "depth": 1}, "c": [3, 4], "depth": 0}
    assert value == {"a": {"b": 1}, "c": (2, 3)}


async def test_at_most_limit_calls_run_at_a_time_and_results_keep_their_order() -> None:
    running = most = 0

    async def double(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (5 - number % 5))
        running -= 1
        return 2 * number

    assert await map_concurrently(double, range(20), limit=3) == [2 * n for n in range(20)]
    assert most == 3


async def test_the_first_exception_is_raised() -> None:
    async def fail(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    with pytest.raises(ValueError, match="one"):
        await map_concurrently(fail, range(3), limit=2)
