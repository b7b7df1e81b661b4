"""Placement constraint expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.ecs.constraint_expressions import (
    EC2_INSTANCE_ID,
    UnknownExpression,
    holds,
    instances_of,
    parse_expression,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("attribute:x == a", True),
        ("attribute:x != a", False),
        ('attribute:x =~ "[a-c]"', True),
        ("attribute:x =~ b.*", False),
        ("attribute:x in [b, a]", True),
        ("attribute:x not_in [a]", False),
        ("attribute:y exists", False),
        ("attribute:y !exists", True),
        ('not(attribute:x == "a") or attribute:x exists', True),
        ("attribute:x == b || attribute:x == a && attribute:y exists", False),
        ("(attribute:x == b or attribute:x == a) and !(attribute:y exists)", True),
        ("ec2InstanceId == i-1", True),
        ("ec2InstanceId == 'i-2'", False),
        ("ec2InstanceId in ['i-2', \"i-1\"]", True),
        ("attribute:ec2InstanceId == i-1", False),
    ],
)
def test_expressions(text: str, expected: bool) -> None:
    assert parse_expression(text)({"x": "a", EC2_INSTANCE_ID: "i-1"}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ec2InstanceId == i-1", {"i-1"}),
        ("ec2InstanceId in ['i-1', i-2]", {"i-1", "i-2"}),
        ("ec2InstanceId == i-1 or ec2InstanceId equals i-2", {"i-1", "i-2"}),
        ("ec2InstanceId in [i-1, i-2] and ec2InstanceId in [i-2, i-3]", {"i-2"}),
        ("attribute:x == a and (ec2InstanceId == i-1)", {"i-1"}),
        ("ec2InstanceId == i-1 or attribute:x == a", None),
        ("ec2InstanceId != i-1", None),
        ("ec2InstanceId not_in [i-1]", None),
        ("not ec2InstanceId == i-1", None),
        ("ec2InstanceId =~ i-1", None),
        ("attribute:ec2InstanceId == i-1", None),
        ("ec2InstanceId == i-1 and agentConnected == true", None),
    ],
)
def test_the_only_instances_that_meet_an_expression(text: str, expected: set[str] | None) -> None:
    assert instances_of(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "agentConnected == true", "attribute:x", "attribute:x == a b", "attribute:x in [a", "("],
)
def test_what_cannot_be_decided_is_left_to_ecs(text: str) -> None:
    with pytest.raises(UnknownExpression):
        parse_expression(text)
    assert holds(text, {})


@given(st.text(alphabet="attribute:xyz =!~[](),&|ndor\"'", max_size=40))
def test_no_expression_breaks_the_parser(text: str) -> None:
    assert holds(text, {"x": "a"}) in (True, False)
