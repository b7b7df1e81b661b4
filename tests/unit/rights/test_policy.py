"""The evaluation of policies, compared with IAM's documentation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rights.policy import AccessRequest, decide

SERVICE = "arn:aws:ecs:us-east-1:123456789012:service/gpu/qwen-decode"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/gpu"


def policy(
    action: Any = "ecs:UpdateService", resource: Any = "*", **elements: Any
) -> dict[str, Any]:
    base = {"Sid": "S", "Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [{**base, **elements}]}


def allowed(document: dict[str, Any], request: AccessRequest) -> bool:
    return decide([document], request).allowed


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("ecs:UpdateService", "*", True),
        ("ECS:updateservice", "*", True),
        ("ecs:Update*", "*", True),
        ("ecs:UpdateServic?", "*", True),
        ("ecs:UpdateServiceX", "*", False),
        ("ecs:Update", "*", False),
        (["ecs:DeleteService", "ecs:UpdateService"], "*", True),
        ("ecs:UpdateService", SERVICE, True),
        ("ecs:UpdateService", SERVICE.replace("qwen-decode", "qwen-*"), True),
        ("ecs:UpdateService", SERVICE.replace("qwen-decode", "Qwen-*"), False),
        ("ecs:UpdateService", SERVICE.replace("gpu", "other"), False),
        ("ecs:UpdateService", [CLUSTER, SERVICE], True),
        # A dot is not a wildcard.
        ("ecs:UpdateService", SERVICE.replace("qwen-decode", "qwen.decode"), False),
    ],
)
def test_actions_and_resources(action: Any, resource: Any, expected: bool) -> None:
    assert (
        allowed(policy(action, resource), AccessRequest("ecs:UpdateService", SERVICE)) is expected
    )


TAG = "aws:ResourceTag/ecs-dynamo:graph"


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {TAG: "qwen"}}, {TAG: ["qwen"]}, True),
        ({"StringEquals": {TAG: "qwen"}}, {TAG: ["Qwen"]}, False),
        ({"StringEquals": {TAG: "qwen"}}, {}, False),
        ({"StringEquals": {TAG.upper(): "qwen"}}, {TAG: ["qwen"]}, True),
        ({"StringEquals": {TAG: ["a", "qwen"]}}, {TAG: ["qwen"]}, True),
        ({"StringEquals": {TAG: "qwen", "aws:x": "1"}}, {TAG: ["qwen"]}, False),
        ({"StringEquals": {TAG: "qwen"}, "Bool": {"b": "true"}}, {TAG: ["qwen"]}, False),
        ({"StringEquals": {TAG: "qwen"}, "Bool": {"b": "true"}}, {TAG: ["qwen"], "b": ["True"]}, 1),
        ({"StringEqualsIfExists": {TAG: "qwen"}}, {}, True),
        ({"StringEqualsIfExists": {TAG: "qwen"}}, {TAG: ["x"]}, False),
        ({"StringNotEquals": {TAG: "qwen"}}, {}, True),
        ({"StringNotEquals": {TAG: "qwen"}}, {TAG: ["qwen"]}, False),
        ({"StringNotEquals": {TAG: ["qwen", "x"]}}, {TAG: ["y"]}, True),
        ({"StringLike": {TAG: "q*n"}}, {TAG: ["qwen"]}, True),
        ({"StringEquals": {TAG: "q*n"}}, {TAG: ["qwen"]}, False),
        ({"ArnEquals": {"ecs:cluster": [CLUSTER]}}, {"ecs:cluster": [CLUSTER]}, True),
        ({"ArnEquals": {"ecs:cluster": [CLUSTER]}}, {"ecs:cluster": [CLUSTER + "2"]}, False),
        ({"ArnLike": {"a": "arn:aws:*:cluster/gpu"}}, {"a": [CLUSTER]}, False),
        ({"ArnLike": {"a": "arn:aws:ecs:*:*:cluster/*"}}, {"a": [CLUSTER]}, True),
        ({"ArnLike": {"a": "*"}}, {"a": ["no arn"]}, False),
        ({"Null": {TAG: "true"}}, {}, True),
        ({"Null": {TAG: "true"}}, {TAG: ["x"]}, False),
        ({"Null": {TAG: "false"}}, {TAG: ["x"]}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["b", "a"]}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["b", "c"]}, False),
        ({"ForAllValues:StringEquals": {"k": ["a"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"k": ["a"]}}, {"k": ["b", "a"]}, True),
        ({"ForAnyValue:StringEquals": {"k": ["a"]}}, {}, False),
    ],
)
def test_conditions(condition: Any, context: dict[str, list[str]], expected: bool) -> None:
    request = AccessRequest("ecs:UpdateService", SERVICE, context)
    assert allowed(policy(Condition=condition), request) is bool(expected)


def test_a_deny_wins_and_nothing_is_denied_by_default() -> None:
    request = AccessRequest("ecs:UpdateService", SERVICE)
    deny = policy(Effect="Deny", Resource=SERVICE)
    assert decide([policy(), policy("ecs:*", Sid="T")], request).statements == ("S", "T")
    assert not decide([policy(), deny], request).allowed
    assert decide([policy(), policy("ecs:DeleteService", Effect="Deny")], request).allowed
    assert not decide([], request).allowed


@pytest.mark.parametrize(
    "broken",
    [
        {"Condition": {"NumericLessThan": {"x": "1"}}},
        {"Condition": {"SomeValues:StringEquals": {"x": "1"}}},
        {"NotAction": "ecs:DeleteService"},
        {"Resource": "arn:aws:s3:::${aws:username}"},
        {"Effect": "Maybe"},
    ],
)
def test_unsupported_policies_are_errors(broken: dict[str, Any]) -> None:
    request = AccessRequest("ecs:UpdateService", SERVICE, {"x": ["1"]})
    with pytest.raises(ValueError, match=r"not supported here|neither"):
        decide([policy(**broken)], request)
