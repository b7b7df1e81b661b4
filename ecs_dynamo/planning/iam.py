"""The least rights that one graph needs, as IAM policy documents. Pure.

Resource types and condition keys are those of the Service Authorization Reference for Amazon ECS:
ListServices and ListTasks know no resource and are bound by ``ecs:cluster``, DescribeTaskDefinition
and EC2's describes can not be bound at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ecs_dynamo.model.graph import TAG_GRAPH, Component, Graph
from ecs_dynamo.planning.iam_capacity import capacity_statements

Json = dict[str, Any]
Documents = Mapping[str, Json]


def _statement(
    sid: str, actions: Iterable[str], resources: Iterable[str], **conditions: Mapping[str, Any]
) -> Json:
    made: Json = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(set(resources)) or ["*"],
    }
    if conditions:
        made["Condition"] = dict(conditions)
    return made


def _document(statements: Iterable[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust(service: str) -> Json:
    """Who may take a role: an AWS service."""
    return _document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
            }
        ]
    )


class _Arns:
    def __init__(self, region: str, account: str) -> None:
        self.partition = (
            "aws-cn"
            if region.startswith("cn-")
            else "aws-us-gov"
            if region.startswith("us-gov-")
            else "aws"
        )
        self.ecs = f"arn:{self.partition}:ecs:{region}:{account}"
        self.region, self.account = region, account

    def cluster(self, name: str) -> str:
        return name if name.startswith("arn:") else f"{self.ecs}:cluster/{name}"

    def within(self, kind: str, cluster: str, name: str = "*") -> str:
        return f"{self.ecs}:{kind}/{cluster.rsplit('/', 1)[-1]}/{name}"


def daemon_policy(
    graph: Graph,
    region: str,
    account: str,
    lock_table: str | None = None,
    queue: str | None = None,
) -> Json:
    """What the daemon's task role needs for ``graph``."""
    arns = _Arns(region, account)
    clusters = [arns.cluster(name) for name in graph.clusters]
    services = [arns.within("service", c.cluster, c.service) for c in graph.components]
    # What was declared once and is no more is still to be retired.
    services += [arns.within("service", name, f"{graph.name}-*") for name in graph.clusters]
    definitions = [f"{arns.ecs}:task-definition/{c.family}:*" for c in graph.components]
    mine = {f"aws:ResourceTag/{TAG_GRAPH}": graph.name}
    tagged = {f"aws:RequestTag/{TAG_GRAPH}": graph.name}
    of_clusters = {"ecs:cluster": sorted(clusters)}
    statements = [
        _statement("ReadClusters", ["ecs:DescribeClusters"], clusters),
        _statement(
            "ListInClusters", ["ecs:ListServices", "ecs:ListTasks"], ["*"], ArnEquals=of_clusters
        ),
        _statement("ListInstances", ["ecs:ListContainerInstances"], clusters),
        _statement(
            "ReadInClusters",
            [
                "ecs:DescribeServices",
                "ecs:DescribeTasks",
                "ecs:GetTaskProtection",
                "ecs:DescribeContainerInstances",
            ],
            [
                arns.within(kind, name)
                for name in graph.clusters
                for kind in ("service", "task", "container-instance")
            ],
        ),
        _statement(
            "ReadWhatHasNoResource",
            ["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ec2:DescribeInstances"],
            ["*"],
        ),
        _statement(
            "RegisterRevisions", ["ecs:RegisterTaskDefinition"], definitions, StringEquals=tagged
        ),
        # ECS knows no resource or tag for it; whose a revision is, the daemon reads before.
        _statement(
            "DeregisterOldRevisions",
            ["ecs:DeregisterTaskDefinition"],
            ["*"],
            StringEquals={"aws:RequestedRegion": region},
        ),
        _statement(
            "DeleteOldRevisions", ["ecs:DeleteTaskDefinitions"], definitions, StringEquals=mine
        ),
        _statement("CreateServices", ["ecs:CreateService"], services, StringEquals=tagged),
        _statement(
            "TagWhatIsCreated",
            ["ecs:TagResource"],
            [*services, *definitions],
            StringEquals={"ecs:CreateAction": ["CreateService", "RegisterTaskDefinition"]},
        ),
        _statement(
            "ChangeOwnServices",
            ["ecs:UpdateService", "ecs:DeleteService", "ecs:TagResource"],
            services,
            StringEquals=mine,
        ),
        _statement(
            "ProtectTasks",
            ["ecs:UpdateTaskProtection"],
            [arns.within("task", name) for name in graph.clusters],
        ),
    ]
    if queue is not None:
        instances = [arns.within("container-instance", name) for name in graph.clusters]
        statements.append(
            _statement("DrainInstances", ["ecs:UpdateContainerInstancesState"], instances)
        )
    statements += capacity_statements(graph, arns.partition, region, account)
    if lock_table is not None:
        table = f"arn:{arns.partition}:dynamodb:{region}:{account}:table/{lock_table}"
        statements.append(_statement("Lease", ["dynamodb:UpdateItem"], [table]))
    if queue is not None:
        name = f"arn:{arns.partition}:sqs:{region}:{account}:{queue}"
        statements.append(
            _statement("ReadEvents", ["sqs:DeleteMessage", "sqs:ReceiveMessage"], [name])
        )
    roles = graph_roles(graph)
    if roles:
        statements.append(
            _statement(
                "PassRolesToTasks",
                ["iam:PassRole"],
                roles,
                StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
            )
        )
    sources = {s.source for c in graph.components if c.scaling for s in c.scaling.signals}
    if "cloudwatch" in sources:
        statements.append(_statement("ReadMetrics", ["cloudwatch:GetMetricData"], ["*"]))
    return _document(statements)


def graph_roles(graph: Graph) -> list[str]:
    """ARNs of the roles that the graph's tasks run with."""
    found = {
        str(component.template[key])
        for component in graph.components
        for key in ("taskRoleArn", "executionRoleArn")
        if component.template.get(key)
    }
    return sorted(found)


def _secrets(component: Component) -> Iterable[str]:
    for container in component.template.get("containerDefinitions", ()):
        for entry in container.get("secrets", ()):
            yield str(entry["valueFrom"])
        credentials = container.get("repositoryCredentials", {}).get("credentialsParameter")
        if credentials:
            yield str(credentials)


def execution_policy(graph: Graph, region: str, account: str) -> Json:
    """What the tasks' execution role needs: images, logs, and just the secrets referred to."""
    arns = _Arns(region, account)
    groups = {
        str(options["awslogs-group"])
        for component in graph.components
        for container in component.template.get("containerDefinitions", ())
        if (options := container.get("logConfiguration", {}).get("options", {})).get(
            "awslogs-group"
        )
    }
    logs = f"arn:{arns.partition}:logs:{region}:{account}:log-group"
    statements = [
        _statement("PullToken", ["ecr:GetAuthorizationToken"], ["*"]),
        _statement(
            "PullImages",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            [f"arn:{arns.partition}:ecr:{region}:{account}:repository/*"],
        ),
    ]
    if groups:
        statements.append(
            _statement(
                "WriteLogs",
                ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                [f"{logs}:{group}{part}" for group in groups for part in ("", ":*")],
            )
        )
    references = sorted({r for c in graph.components for r in _secrets(c)})
    secrets, parameters = [], []
    for reference in references:
        if ":secretsmanager:" in reference:
            # AWS adds six random characters to a secret's name in its ARN.
            secrets.append(":".join(reference.split(":")[:7]) + "*")
        elif reference.startswith("arn:"):
            parameters.append(reference)
        else:
            name = reference.lstrip("/")
            parameters.append(f"arn:{arns.partition}:ssm:{region}:{account}:parameter/{name}")
    if secrets:
        statements.append(_statement("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets))
    if parameters:
        statements.append(_statement("ReadParameters", ["ssm:GetParameters"], parameters))
    return _document(statements)


def instance_policy(graph: Graph, region: str, account: str) -> Json:
    """What the ECS agent on the GPU instances needs (ECS developer guide, container instance IAM
    role), bound to the graph's EC2 clusters."""
    arns = _Arns(region, account)
    clusters = sorted({c.cluster for c in graph.components if c.launch_type == "EC2"})
    return _document(
        [
            _statement(
                "Register",
                ["ecs:DeregisterContainerInstance", "ecs:RegisterContainerInstance"],
                [arns.cluster(name) for name in clusters],
            ),
            _statement("FindEndpoint", ["ecs:DiscoverPollEndpoint"], ["*"]),
            _statement(
                "Report",
                [
                    "ecs:Poll",
                    "ecs:StartTelemetrySession",
                    "ecs:SubmitAttachmentStateChanges",
                    "ecs:SubmitContainerStateChange",
                    "ecs:SubmitTaskStateChange",
                    "ecs:UpdateContainerInstancesState",
                ],
                [
                    *(arns.within("container-instance", name) for name in clusters),
                    *(arns.cluster(name) for name in clusters),
                ],
            ),
        ]
    )


DETAIL_TYPES = (
    "ECS Task State Change",
    "ECS Deployment State Change",
    "ECS Container Instance State Change",
    "ECS Service Action",
)
"""Events of ECS that may mean work (EventBridge, "Amazon ECS events")."""


NOTICE_TYPES = ("EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation")
"""Events of EC2 that tell of an instance's end: two minutes before it, or where it is likely."""


def notice_pattern() -> Json:
    """The pattern of a second rule: EC2's notices name an instance, and no cluster."""
    return {"source": ["aws.ec2"], "detail-type": list(NOTICE_TYPES)}


def event_pattern(graph: Graph, region: str, account: str) -> Json:
    """The EventBridge rule's pattern: events of the graph's clusters.

    A deployment's event has no ``clusterArn``: its cluster is in the service's ARN (ECS developer
    guide, "Amazon ECS service deployment state change events").
    """
    arns = _Arns(region, account)
    services = [arns.within("service", name, "") for name in graph.clusters]
    return {
        "source": ["aws.ecs"],
        "detail-type": list(DETAIL_TYPES),
        "$or": [
            {"detail": {"clusterArn": [arns.cluster(name) for name in graph.clusters]}},
            {"resources": [{"prefix": prefix} for prefix in services]},
        ],
    }


def queue_policy(region: str, account: str, queue: str) -> Json:
    """Lets EventBridge's rules of this account send to the queue."""
    arns = _Arns(region, account)
    return _document(
        [
            {
                "Sid": "EventsIn",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": f"arn:{arns.partition}:sqs:{region}:{account}:{queue}",
                "Condition": {
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{arns.partition}:events:{region}:{account}:rule/*"
                    }
                },
            }
        ]
    )


def render_iam(
    graph: Graph,
    region: str,
    account: str,
    lock_table: str | None = None,
    queue: str | None = None,
) -> Documents:
    """Every document for ``graph``, by file name; with ``queue``, the wiring of events too."""
    made = {
        "daemon-task-role.json": daemon_policy(graph, region, account, lock_table, queue),
        "execution-role.json": execution_policy(graph, region, account),
        "instance-role.json": instance_policy(graph, region, account),
        "trust-ecs-tasks.json": trust("ecs-tasks.amazonaws.com"),
        "trust-ec2.json": trust("ec2.amazonaws.com"),
    }
    if queue is not None:
        made["events-rule-pattern.json"] = event_pattern(graph, region, account)
        made["notices-rule-pattern.json"] = notice_pattern()
        policy = queue_policy(region, account, queue)
        made["events-queue-policy.json"] = policy
        # As `aws sqs create-queue --attributes file://...` takes it.
        made["events-queue-attributes.json"] = {"Policy": json.dumps(policy)}
    return made
