"""What each AWS answer must contain before it is believed.

An HTTP 200 is no proof of an answer: botocore parses a JSON body that was cut off, or that somebody
else wrote, to a document without members and without an error, and a missing list reads like an
empty one. AWS's service models declare nearly no output member as required, so the members that an
answer cannot do without are listed here (each is a member of the operation's output shape; a test
compares them with botocore's models). Describe operations that are asked for named resources
answer for each of them, in their list or in `failures` (ECS API reference); where one is in
neither, a part of the answer is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.common.arns import resource_name

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """``members``: of the answer. ``each``: of every entry of the member ``of``, a structure or a
    list of them. ``asked``: the parameter whose values are all answered for, each by the ``known``
    members of an entry or by an entry of `failures`."""

    members: tuple[str, ...]
    of: str = ""
    each: tuple[str, ...] = ()
    asked: str = ""
    known: tuple[str, ...] = ()


def _entries(member: str, *each: str, asked: str = "", known: tuple[str, ...] = ()) -> Expected:
    return Expected((member,), member, each, asked, known)


_NOTHING = Expected(())
"""Either no member is certain to be there, or the operation returns none."""

_REVISION = ("taskDefinitionArn", "family", "revision", "status", "containerDefinitions")

EXPECTED: Mapping[str, Expected] = {
    "ecs:DescribeClusters": _entries(
        *("clusters", "clusterName", "clusterArn", "status"),
        asked="clusters",
        known=("clusterName",),
    ),
    "ecs:ListServices": Expected(("serviceArns",)),
    "ecs:DescribeServices": _entries(
        "services",
        *("serviceArn", "serviceName", "status", "desiredCount", "runningCount", "pendingCount"),
        asked="services",
        known=("serviceName",),
    ),
    "ecs:ListContainerInstances": Expected(("containerInstanceArns",)),
    "ecs:DescribeContainerInstances": _entries(
        *("containerInstances", "containerInstanceArn", "status"),
        asked="containerInstances",
        known=("containerInstanceArn",),
    ),
    "ecs:ListTasks": Expected(("taskArns",)),
    "ecs:DescribeTasks": _entries(
        *("tasks", "taskArn", "taskDefinitionArn", "lastStatus", "desiredStatus"),
        asked="tasks",
        known=("taskArn",),
    ),
    "ecs:GetTaskProtection": _entries("protectedTasks", "taskArn"),
    "ecs:DescribeTaskDefinition": _entries("taskDefinition", *_REVISION),
    "ecs:ListTaskDefinitions": Expected(("taskDefinitionArns",)),
    "ecs:DescribeCapacityProviders": _entries("capacityProviders", "name"),
    "ecs:RegisterTaskDefinition": _entries("taskDefinition", *_REVISION),
    "ecs:CreateService": _entries("service", "serviceArn"),
    "ecs:UpdateService": _entries("service", "serviceArn"),
    "ecs:DeleteService": _entries("service", "serviceArn"),
    "ecs:UpdateTaskProtection": _entries("protectedTasks", "taskArn"),
    "ecs:StopTask": _entries("task", "taskArn"),
    "ecs:DeleteTaskDefinitions": Expected(("taskDefinitions",)),
    "ecs:DeregisterTaskDefinition": Expected(("taskDefinition",)),
    "ecs:UpdateContainerInstancesState": Expected(("containerInstances",)),
    "ecs:TagResource": _NOTHING,
    "ecs:UntagResource": _NOTHING,
    "ec2:DescribeInstances": _entries("Reservations", "Instances"),
    "ec2:DescribeInstanceTypes": _entries("InstanceTypes", "InstanceType"),
    "ec2:DescribeLaunchTemplateVersions": Expected(("LaunchTemplateVersions",)),
    "ec2:DescribeSubnets": _entries("Subnets", "SubnetId"),
    "ec2:DescribeRouteTables": _entries("RouteTables", "RouteTableId"),
    "ec2:DescribeVpcEndpoints": _entries("VpcEndpoints", "VpcId"),
    "ec2:DescribeSecurityGroups": _entries("SecurityGroups", "GroupId"),
    "ec2:DescribeImages": _entries("Images", "ImageId"),
    "autoscaling:DescribeAutoScalingGroups": _entries(
        "AutoScalingGroups",
        *("AutoScalingGroupName", "DesiredCapacity", "MinSize", "MaxSize"),
    ),
    "autoscaling:DescribeWarmPool": Expected(("Instances",)),
    "autoscaling:SetDesiredCapacity": _NOTHING,
    "autoscaling:TerminateInstanceInAutoScalingGroup": _NOTHING,
    "cloudwatch:GetMetricData": Expected(("MetricDataResults",)),
    "dynamodb:UpdateItem": _NOTHING,
    # An empty queue is answered without the member `Messages` (SQS API reference, ReceiveMessage).
    "sqs:ReceiveMessage": _NOTHING,
    "sqs:DeleteMessageBatch": _NOTHING,
    "iam:SimulatePrincipalPolicy": Expected(("EvaluationResults",)),
    "iam:GetRole": Expected(("Role",)),
    "secretsmanager:DescribeSecret": Expected(("ARN",)),
    "secretsmanager:GetSecretValue": Expected(("ARN",)),
    "ssm:DescribeParameters": Expected(("Parameters",)),
    "ssm:GetParameters": Expected(("Parameters",)),
    "logs:DescribeLogGroups": Expected(("logGroups",)),
    "ecr:DescribeImages": Expected(("imageDetails",)),
    "servicediscovery:GetService": Expected(("Service",)),
    "servicediscovery:GetNamespace": Expected(("Namespace",)),
    "servicediscovery:ListNamespaces": Expected(("Namespaces",)),
    "service-quotas:ListServiceQuotas": Expected(("Quotas",)),
    "sts:GetCallerIdentity": Expected(("Arn", "Account")),
}
"""By ``"service:Operation"``, for every operation that this package calls."""


def _last(name: Any) -> str:
    """What a name and the ARN of the same resource share."""
    return resource_name(str(name))


def _missing(entries: Iterable[Any], each: tuple[str, ...]) -> str | None:
    for entry in entries:
        for member in each:
            if not isinstance(entry, Mapping) or entry.get(member) is None:
                return member
    return None


def missing_part(service: str, operation: str, parameters: Json, answer: Json) -> str | None:
    """The part that the answer to this request lacks, as a sentence; None where it is whole."""
    expected = EXPECTED.get(f"{service}:{operation}", _NOTHING)
    for member in expected.members:
        if answer.get(member) is None:
            return f"the answer has no {member}"
    found = answer.get(expected.of)
    entries = found if isinstance(found, list) else [found] if found is not None else []
    lacking = _missing(entries, expected.each)
    if lacking is not None:
        return f"an entry of {expected.of} has no {lacking}"
    if expected.asked:
        told = {_last(e[member]) for e in entries for member in expected.known}
        told |= {_last(failure.get("arn")) for failure in answer.get("failures") or ()}
        absent = [name for name in parameters.get(expected.asked, ()) if _last(name) not in told]
        if absent:
            return f"the answer tells nothing of {_last(absent[0])}"
    return None
