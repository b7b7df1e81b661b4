"""The least rights that one graph needs, as IAM policy documents. Pure.

Resource types and condition keys are those of the Service Authorization Reference for Amazon ECS:
ListServices and ListTasks know no resource and are bound by ``ecs:cluster``, DescribeTaskDefinition
and EC2's describes can not be bound at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ecs_dynamo.model.graph import TAG_GRAPH, TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR, Graph
from ecs_dynamo.planning.iam_base import Arns, Json, document, statement
from ecs_dynamo.planning.iam_capacity import capacity_reads, capacity_statements
from ecs_dynamo.planning.iam_daemon import LOG_GROUP, REPOSITORY, daemon_execution_policy
from ecs_dynamo.planning.iam_doctor import doctor_statements
from ecs_dynamo.planning.iam_infrastructure import efs_statements
from ecs_dynamo.planning.iam_security import read_statements
from ecs_dynamo.planning.iam_tasks import execution_policies, graph_roles, instance_policy

Documents = Mapping[str, Json]


def trust(service: str) -> Json:
    """Who may take a role: an AWS service."""
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
            }
        ]
    )


def observe_statements(graph: Graph, arns: Arns) -> list[Json]:
    """What looking at the graph takes; shared by all who look."""
    clusters = [arns.cluster(name) for name in graph.clusters]
    return [
        statement("ReadClusters", ["ecs:DescribeClusters"], clusters),
        statement(
            "ListInClusters",
            ["ecs:ListServices", "ecs:ListTasks"],
            ["*"],
            ArnEquals={"ecs:cluster": sorted(clusters)},
        ),
        statement("ListInstances", ["ecs:ListContainerInstances"], clusters),
        statement(
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
        statement(
            "ReadWhatHasNoResource",
            ["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ec2:DescribeInstances"],
            ["*"],
        ),
        *capacity_reads(graph, arns),
    ]


def daemon_policy(
    graph: Graph,
    region: str,
    account: str,
    lock_table: str | None = None,
    queue: str | None = None,
) -> Json:
    """What the daemon's task role needs for ``graph``."""
    arns = Arns(region, account)
    services = [arns.within("service", c.cluster, c.service) for c in graph.components]
    # What was declared once and is no more is still to be retired.
    services += [arns.within("service", name, f"{graph.name}-*") for name in graph.clusters]
    definitions = [f"{arns.ecs}:task-definition/{c.family}:*" for c in graph.components]
    mine = {f"aws:ResourceTag/{TAG_GRAPH}": graph.name}
    tagged = {f"aws:RequestTag/{TAG_GRAPH}": graph.name}
    statements = [
        *observe_statements(graph, arns),
        statement(
            "RegisterRevisions", ["ecs:RegisterTaskDefinition"], definitions, StringEquals=tagged
        ),
        # ECS knows no resource or tag for it; whose a revision is, the daemon reads before.
        statement(
            "DeregisterOldRevisions",
            ["ecs:DeregisterTaskDefinition"],
            ["*"],
            StringEquals={"aws:RequestedRegion": region},
        ),
        statement(
            "DeleteOldRevisions", ["ecs:DeleteTaskDefinitions"], definitions, StringEquals=mine
        ),
        statement("CreateServices", ["ecs:CreateService"], services, StringEquals=tagged),
        statement(
            "TagWhatIsCreated",
            ["ecs:TagResource"],
            [*services, *definitions],
            StringEquals={"ecs:CreateAction": ["CreateService", "RegisterTaskDefinition"]},
        ),
        statement(
            "ChangeOwnServices",
            ["ecs:UpdateService", "ecs:DeleteService"],
            services,
            StringEquals=mine,
        ),
        statement(
            # Declared tags are on services and revisions alike.
            "ChangeOwnTags",
            ["ecs:TagResource", "ecs:UntagResource"],
            [*services, *definitions],
            StringEquals=mine,
        ),
        statement(
            "ProtectTasks",
            ["ecs:UpdateTaskProtection"],
            # A task's ARN tells no service; its tags are propagated from the service's.
            [arns.within("task", name) for name in graph.clusters],
            StringEquals=mine,
        ),
    ]
    if queue is not None:
        instances = [arns.within("container-instance", name) for name in graph.clusters]
        statements.append(
            statement("DrainInstances", ["ecs:UpdateContainerInstancesState"], instances)
        )
    statements += capacity_statements(graph, arns)
    if lock_table is not None:
        own_item = {"dynamodb:LeadingKeys": [graph.name]}
        statements.append(
            statement(
                "Lease",
                ["dynamodb:UpdateItem"],
                [arns.of("dynamodb", f"table/{lock_table}")],
                **{"ForAllValues:StringEquals": own_item},
            )
        )
    if queue is not None:
        statements.append(
            statement(
                "ReadEvents", ["sqs:DeleteMessage", "sqs:ReceiveMessage"], [arns.of("sqs", queue)]
            )
        )
    statements += read_statements(graph.security.references(), arns)
    roles = graph_roles(graph)
    if roles:
        statements.append(
            statement(
                "PassRolesToTasks",
                ["iam:PassRole"],
                roles,
                StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
            )
        )
    sources = {s.source for c in graph.components if c.scaling for s in c.scaling.signals}
    if "cloudwatch" in sources:
        statements.append(statement("ReadMetrics", ["cloudwatch:GetMetricData"], ["*"]))
    return document(statements)


def doctor_policy(graph: Graph, region: str, account: str) -> Json:
    """What a person, or a pipeline, needs to run `ecs-dynamo doctor`: it only reads."""
    arns = Arns(region, account)
    return document([*observe_statements(graph, arns), *doctor_statements(graph, arns)])


def rollback_policy(graph: Graph, region: str, account: str) -> Json:
    """What `ecs-dynamo rollback` needs besides the daemon's rights: to take its own hold off."""
    arns = Arns(region, account)
    return document(
        [
            statement(
                "ClearRollback",
                ["ecs:UntagResource"],
                [arns.within("service", c.cluster, c.service) for c in graph.components],
                StringEquals={f"aws:ResourceTag/{TAG_GRAPH}": graph.name},
                **{
                    "ForAllValues:StringEquals": {
                        "aws:TagKeys": [TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR]
                    }
                },
            )
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
    arns = Arns(region, account)
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
    arns = Arns(region, account)
    return document(
        [
            {
                "Sid": "EventsIn",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arns.of("sqs", queue),
                "Condition": {"ArnLike": {"aws:SourceArn": arns.of("events", "rule/*")}},
            }
        ]
    )


def render_iam(
    graph: Graph,
    region: str,
    account: str,
    lock_table: str | None = None,
    queue: str | None = None,
    daemon_image: tuple[str, str] = (REPOSITORY, LOG_GROUP),
) -> Documents:
    """Every document for ``graph``, by file name; with ``queue``, the wiring of events too.

    ``daemon_image``: the daemon's own ECR repository and log group.
    """
    made = {
        "daemon-task-role.json": daemon_policy(graph, region, account, lock_table, queue),
        "daemon-execution-role.json": daemon_execution_policy(Arns(region, account), *daemon_image),
        "doctor.json": doctor_policy(graph, region, account),
        "rollback.json": rollback_policy(graph, region, account),
        **execution_policies(graph, region, account),
        "instance-role.json": instance_policy(graph, region, account),
        "trust-ecs-tasks.json": trust("ecs-tasks.amazonaws.com"),
        "trust-ec2.json": trust("ec2.amazonaws.com"),
    }
    volumes = efs_statements(graph, Arns(region, account))
    if volumes:
        made["infrastructure-task-role.json"] = document(volumes)
    if queue is not None:
        made["events-rule-pattern.json"] = event_pattern(graph, region, account)
        made["notices-rule-pattern.json"] = notice_pattern()
        policy = queue_policy(region, account, queue)
        made["events-queue-policy.json"] = policy
        # As `aws sqs create-queue --attributes file://...` takes it.
        made["events-queue-attributes.json"] = {"Policy": json.dumps(policy)}
    return made
