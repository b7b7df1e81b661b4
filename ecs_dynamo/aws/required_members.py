"""Members that each AWS answer must contain before it is accepted.

HTTP status 200 does not prove that an answer is complete: botocore parses a JSON body that was cut
off, or that a proxy wrote, to a document without members and without an error, and a missing list
then reads like an empty one. AWS's service models declare almost no output member as required, so
the indispensable members are listed here (a test compares them with botocore's models). Describe
operations with named resources answer for each of them, in their list or in `failures` (ECS API
reference); if a resource is in neither, a part of the answer is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.common.arns import resource_name

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequiredMembers:
    """The required parts of one operation's answer.

    ``members`` are required in the answer, and ``each`` in every entry of the member ``of``, which
    is a structure or a list of structures. Every value of the parameter ``asked`` has an entry
    that names it in one of the members ``known``, or an entry in `failures`.
    """

    members: tuple[str, ...]
    of: str = ""
    each: tuple[str, ...] = ()
    asked: str = ""
    known: tuple[str, ...] = ()


def _entries(
    member: str, *each: str, asked: str = "", known: tuple[str, ...] = ()
) -> RequiredMembers:
    return RequiredMembers((member,), member, each, asked, known)


_NOTHING = RequiredMembers(())
"""No member is certain to be present, or the operation returns none."""

_REVISION = ("taskDefinitionArn", "family", "revision", "status", "containerDefinitions")

EXPECTED: Mapping[str, RequiredMembers] = {
    "ecs:DescribeClusters": _entries(
        *("clusters", "clusterName", "clusterArn", "status"),
        asked="clusters",
        known=("clusterName",),
    ),
    "ecs:ListServices": RequiredMembers(("serviceArns",)),
    "ecs:DescribeServices": _entries(
        "services",
        *("serviceArn", "serviceName", "status", "desiredCount", "runningCount", "pendingCount"),
        asked="services",
        known=("serviceName",),
    ),
    "ecs:ListContainerInstances": RequiredMembers(("containerInstanceArns",)),
    "ecs:DescribeContainerInstances": _entries(
        *("containerInstances", "containerInstanceArn", "status"),
        asked="containerInstances",
        known=("containerInstanceArn",),
    ),
    "ecs:ListTasks": RequiredMembers(("taskArns",)),
    "ecs:DescribeTasks": _entries(
        *("tasks", "taskArn", "taskDefinitionArn", "lastStatus", "desiredStatus"),
        asked="tasks",
        known=("taskArn",),
    ),
    "ecs:GetTaskProtection": _entries("protectedTasks", "taskArn"),
    "ecs:DescribeTaskDefinition": _entries("taskDefinition", *_REVISION),
    "ecs:ListTaskDefinitions": RequiredMembers(("taskDefinitionArns",)),
    "ecs:DescribeCapacityProviders": _entries("capacityProviders", "name"),
    "ecs:RegisterTaskDefinition": _entries("taskDefinition", *_REVISION),
    "ecs:CreateService": _entries("service", "serviceArn"),
    "ecs:UpdateService": _entries("service", "serviceArn"),
    "ecs:DeleteService": _entries("service", "serviceArn"),
    "ecs:UpdateTaskProtection": _entries("protectedTasks", "taskArn"),
    "ecs:StopTask": _entries("task", "taskArn"),
    "ecs:DeleteTaskDefinitions": RequiredMembers(("taskDefinitions",)),
    "ecs:DeregisterTaskDefinition": RequiredMembers(("taskDefinition",)),
    "ecs:UpdateContainerInstancesState": RequiredMembers(("containerInstances",)),
    "ecs:TagResource": _NOTHING,
    "ecs:UntagResource": _NOTHING,
    "ec2:DescribeInstances": _entries("Reservations", "Instances"),
    "ec2:DescribeInstanceTypes": _entries("InstanceTypes", "InstanceType"),
    "ec2:DescribeLaunchTemplateVersions": RequiredMembers(("LaunchTemplateVersions",)),
    "ec2:DescribeSubnets": _entries("Subnets", "SubnetId"),
    "ec2:DescribeRouteTables": _entries("RouteTables", "RouteTableId"),
    "ec2:DescribeVpcEndpoints": _entries("VpcEndpoints", "VpcId"),
    "ec2:DescribeSecurityGroups": _entries("SecurityGroups", "GroupId"),
    "ec2:DescribeImages": _entries("Images", "ImageId"),
    "autoscaling:DescribeAutoScalingGroups": _entries(
        "AutoScalingGroups",
        *("AutoScalingGroupName", "DesiredCapacity", "MinSize", "MaxSize"),
    ),
    "autoscaling:DescribeWarmPool": RequiredMembers(("Instances",)),
    "autoscaling:SetDesiredCapacity": _NOTHING,
    "autoscaling:TerminateInstanceInAutoScalingGroup": _NOTHING,
    "cloudwatch:GetMetricData": RequiredMembers(("MetricDataResults",)),
    "dynamodb:UpdateItem": _NOTHING,
    # An empty queue is answered without the member `Messages` (SQS API reference, ReceiveMessage).
    "sqs:ReceiveMessage": _NOTHING,
    "sqs:DeleteMessageBatch": _NOTHING,
    "iam:SimulatePrincipalPolicy": RequiredMembers(("EvaluationResults",)),
    "iam:GetRole": RequiredMembers(("Role",)),
    "secretsmanager:DescribeSecret": RequiredMembers(("ARN",)),
    "secretsmanager:GetSecretValue": RequiredMembers(("ARN",)),
    "ssm:DescribeParameters": RequiredMembers(("Parameters",)),
    "ssm:GetParameters": RequiredMembers(("Parameters",)),
    "logs:DescribeLogGroups": RequiredMembers(("logGroups",)),
    "ecr:DescribeImages": RequiredMembers(("imageDetails",)),
    "servicediscovery:GetService": RequiredMembers(("Service",)),
    "servicediscovery:GetNamespace": RequiredMembers(("Namespace",)),
    "servicediscovery:ListNamespaces": RequiredMembers(("Namespaces",)),
    "service-quotas:ListServiceQuotas": RequiredMembers(("Quotas",)),
    "sts:GetCallerIdentity": RequiredMembers(("Arn", "Account")),
}
"""Required members by ``"service:Operation"``, for every operation that this package calls."""


def _last(name: Any) -> str:
    """Return the part that a name and the ARN of the same resource share."""
    return resource_name(str(name))


def _missing(entries: Iterable[Any], each: tuple[str, ...]) -> str | None:
    for entry in entries:
        for member in each:
            if not isinstance(entry, Mapping) or entry.get(member) is None:
                return member
    return None


def missing_part(service: str, operation: str, parameters: Json, answer: Json) -> str | None:
    """Return a sentence about a part that the answer lacks; None if the answer is complete."""
    expected = EXPECTED.get(f"{service}:{operation}", _NOTHING)
    for member in expected.members:
        if answer.get(member) is None:
            return f"the answer has no {member}"
    part = answer.get(expected.of)
    entries = part if isinstance(part, list) else [part] if part is not None else []
    absent_member = _missing(entries, expected.each)
    if absent_member is not None:
        return f"an entry of {expected.of} has no {absent_member}"
    if expected.asked:
        answered = {_last(e[member]) for e in entries for member in expected.known}
        answered |= {_last(failure.get("arn")) for failure in answer.get("failures") or ()}
        absent = [
            name for name in parameters.get(expected.asked, ()) if _last(name) not in answered
        ]
        if absent:
            return f"the answer does not mention {_last(absent[0])}"
    return None
