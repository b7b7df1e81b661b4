"""The least rights that the graphs of one daemon need, as IAM policy documents. Pure.

Resource types and condition keys are those of the Service Authorization Reference for Amazon ECS:
ListServices and ListTasks know no resource and are bound by ``ecs:cluster``, DescribeTaskDefinition
and EC2's describes can not be bound at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ecs_dynamo.model.partitions import ec2_principals
from ecs_dynamo.planning.iam_base import (
    Arns,
    Graphs,
    Json,
    Scope,
    document,
    scope_of,
    split,
    statement,
)
from ecs_dynamo.planning.iam_capacity import capacity_reads, capacity_statements
from ecs_dynamo.planning.iam_daemon import LOG_GROUP, REPOSITORY, daemon_execution_policy
from ecs_dynamo.planning.iam_doctor import doctor_statements
from ecs_dynamo.planning.iam_infrastructure import efs_statements
from ecs_dynamo.planning.iam_security import read_statements
from ecs_dynamo.planning.iam_tasks import execution_policies, instance_policy, role_arns

Documents = Mapping[str, Json]


def trust(*services: str, **conditions: Mapping[str, str]) -> Json:
    """Who may take a role: an AWS service, by each of its names."""
    made: Json = {
        "Effect": "Allow",
        "Principal": {"Service": services[0] if len(services) == 1 else list(services)},
        "Action": "sts:AssumeRole",
    }
    if conditions:
        made["Condition"] = conditions
    return document([made])


def task_role_trust(arns: Arns) -> Json:
    """Who may take a task role: ECS, for tasks of this account and Region alone.

    After the ECS developer guide, "Task IAM role", on the confused deputy. It describes the
    conditions for task roles, and none for task execution roles.
    """
    return trust(
        "ecs-tasks.amazonaws.com",
        ArnLike={"aws:SourceArn": arns.of("ecs", "*")},
        StringEquals={"aws:SourceAccount": arns.account},
    )


def observe_statements(scope: Scope) -> list[Json]:
    """What looking at the graphs takes; shared by all who look."""
    arns = scope.arns
    clusters = [arns.cluster(name) for name in scope.clusters]
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
                for name in scope.clusters
                for kind in ("service", "task", "container-instance")
            ],
        ),
        statement(
            "ReadWhatHasNoResource",
            ["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ec2:DescribeInstances"],
            ["*"],
        ),
        *capacity_reads(scope),
    ]


def _own_statements(scope: Scope) -> list[Json]:
    """Changing services, revisions and tasks that carry the graphs' tag."""
    services, definitions = scope.services(), scope.definitions()
    replaces = any(g.runtime.replace_lost_replicas for g in scope.graphs)
    return [
        statement(
            "RegisterRevisions",
            ["ecs:RegisterTaskDefinition"],
            definitions,
            **scope.tagged("aws:RequestTag"),
        ),
        # ECS knows no resource or tag for it; whose a revision is, the daemon reads before.
        statement(
            "DeregisterOldRevisions",
            ["ecs:DeregisterTaskDefinition"],
            ["*"],
            StringEquals={"aws:RequestedRegion": scope.arns.region},
        ),
        statement(
            "DeleteOldRevisions",
            ["ecs:DeleteTaskDefinitions"],
            definitions,
            **scope.tagged("aws:ResourceTag"),
        ),
        statement(
            "CreateServices", ["ecs:CreateService"], services, **scope.tagged("aws:RequestTag")
        ),
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
            **scope.tagged("aws:ResourceTag"),
        ),
        statement(
            # Declared tags are on services and revisions alike.
            "ChangeOwnTags",
            ["ecs:TagResource", "ecs:UntagResource"],
            [*services, *definitions],
            **scope.tagged("aws:ResourceTag"),
        ),
        statement(
            "ProtectAndStopTasks" if replaces else "ProtectTasks",
            ["ecs:UpdateTaskProtection", *(["ecs:StopTask"] if replaces else [])],
            # A task's ARN tells no service; its tags are propagated from the service's.
            [scope.arns.within("task", name) for name in scope.clusters],
            **scope.tagged("aws:ResourceTag"),
        ),
    ]


def _lease_statement(scope: Scope, table: str) -> Json:
    """Renewing the leases: of one graph its own item alone, of several those of the table."""
    own = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [g.name for g in scope.graphs]}}
    return statement(
        "Lease",
        ["dynamodb:UpdateItem"],
        [scope.arns.of("dynamodb", f"table/{table}")],
        **(own if len(scope.graphs) == 1 else {}),
    )


def daemon_policy(
    graphs: Graphs,
    region: str,
    account: str,
    lock_table: str | None = None,
    queue: str | None = None,
) -> Json:
    """What the daemon's task role needs for ``graphs``, in one document of whatever size."""
    scope = scope_of(graphs, region, account)
    arns = scope.arns
    statements = [*observe_statements(scope), *_own_statements(scope)]
    if queue is not None:
        instances = [arns.within("container-instance", name) for name in scope.clusters]
        statements.append(
            statement("DrainInstances", ["ecs:UpdateContainerInstancesState"], instances)
        )
    statements += capacity_statements(scope)
    if lock_table is not None:
        statements.append(_lease_statement(scope, lock_table))
    if queue is not None:
        statements.append(
            statement(
                "ReadEvents", ["sqs:DeleteMessage", "sqs:ReceiveMessage"], [arns.of("sqs", queue)]
            )
        )
    statements += read_statements(scope.references, arns)
    roles = role_arns(scope)
    if roles:
        statements.append(
            statement(
                "PassRolesToTasks",
                ["iam:PassRole"],
                roles,
                StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
            )
        )
    sources = {s.source for c in scope.components if c.scaling for s in c.scaling.signals}
    if "cloudwatch" in sources:
        statements.append(statement("ReadMetrics", ["cloudwatch:GetMetricData"], ["*"]))
    return document(statements)


def doctor_policy(graphs: Graphs, region: str, account: str) -> Json:
    """What a person, or a pipeline, needs to run `ecs-dynamo doctor`: it only reads."""
    scope = scope_of(graphs, region, account)
    return document([*observe_statements(scope), *doctor_statements(scope)])


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


def event_pattern(graphs: Graphs, region: str, account: str) -> Json:
    """The EventBridge rule's pattern: events of the graphs' clusters.

    A deployment's event has no ``clusterArn``: its cluster is in the service's ARN (ECS developer
    guide, "Amazon ECS service deployment state change events").
    """
    scope = scope_of(graphs, region, account)
    arns = scope.arns
    services = [arns.within("service", name, "") for name in scope.clusters]
    return {
        "source": ["aws.ecs"],
        "detail-type": list(DETAIL_TYPES),
        "$or": [
            {"detail": {"clusterArn": [arns.cluster(name) for name in scope.clusters]}},
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
    graphs: Graphs,
    region: str,
    account: str,
    lock_table: str | None = None,
    queue: str | None = None,
    daemon_image: tuple[str, str] = (REPOSITORY, LOG_GROUP),
) -> Documents:
    """Every document for ``graphs``, by file name; with ``queue``, the wiring of events too.

    ``daemon_image``: the daemon's own ECR repository and log group. A role's policy that is larger
    than a managed policy may be comes as several documents (`iam_base.split`).
    """
    scope = scope_of(graphs, region, account)
    policies = {
        "daemon-task-role.json": daemon_policy(graphs, region, account, lock_table, queue),
        "daemon-execution-role.json": daemon_execution_policy(scope.arns, *daemon_image),
        "doctor.json": doctor_policy(graphs, region, account),
        **execution_policies(scope),
        "instance-role.json": instance_policy(scope),
    }
    volumes = efs_statements(scope)
    if volumes:
        policies["infrastructure-task-role.json"] = document(volumes)
    made: dict[str, Json] = {}
    for name, policy in policies.items():
        made |= split(name, policy)
    made["trust-ecs-tasks.json"] = trust("ecs-tasks.amazonaws.com")
    made["trust-ecs-task-roles.json"] = task_role_trust(scope.arns)
    made["trust-ec2.json"] = trust(*ec2_principals(region))
    if queue is not None:
        made["events-rule-pattern.json"] = event_pattern(graphs, region, account)
        made["notices-rule-pattern.json"] = notice_pattern()
        policy = queue_policy(region, account, queue)
        made["events-queue-policy.json"] = policy
        # As `aws sqs create-queue --attributes file://...` takes it.
        made["events-queue-attributes.json"] = {"Policy": json.dumps(policy)}
    return made
