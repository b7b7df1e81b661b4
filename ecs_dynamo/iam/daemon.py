"""The policy of the daemon's task role. Pure.

Resource types and condition keys are those of the Service Authorization Reference for Amazon ECS.
ListServices and ListTasks have no resource type and are bound by ``ecs:cluster``.
DescribeTaskDefinition and EC2's describe actions cannot be bound at all.
"""

from __future__ import annotations

from ecs_dynamo.iam.capacity import (
    capacity_reads,
    capacity_statements,
)
from ecs_dynamo.iam.secrets import read_statements
from ecs_dynamo.iam.statements import (
    Graphs,
    Json,
    Scope,
    document,
    scope_of,
    statement,
)
from ecs_dynamo.iam.tasks import (
    role_arns,
)


def observe_statements(scope: Scope) -> list[Json]:
    """Return the statements for observing the graphs, which all roles that observe share."""
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
    """Return the statements to change services, revisions and tasks with the graphs' tag."""
    services, definitions = scope.services(), scope.definitions()
    replaces = any(g.runtime.replace_lost_replicas for g in scope.graphs)
    return [
        statement(
            "RegisterRevisions",
            ["ecs:RegisterTaskDefinition"],
            definitions,
            **scope.tagged("aws:RequestTag"),
        ),
        # ECS supports neither resources nor tags for it; the daemon checks the owner before.
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
            # Declared tags are on both services and revisions.
            "ChangeOwnTags",
            ["ecs:TagResource", "ecs:UntagResource"],
            [*services, *definitions],
            **scope.tagged("aws:ResourceTag"),
        ),
        statement(
            "ProtectAndStopTasks" if replaces else "ProtectTasks",
            ["ecs:UpdateTaskProtection", *(["ecs:StopTask"] if replaces else [])],
            # A task's ARN does not contain the service; its tags are propagated from the service.
            [scope.arns.within("task", name) for name in scope.clusters],
            **scope.tagged("aws:ResourceTag"),
        ),
    ]


def _lease_statement(scope: Scope, table: str) -> Json:
    """Return the statement for renewing leases: one graph's own item, or all items of a table."""
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
    lease_table: str | None = None,
    queue: str | None = None,
) -> Json:
    """Return the policy of the daemon's task role for ``graphs``, in one document of any size."""
    scope = scope_of(graphs, region, account)
    arns = scope.arns
    statements = [*observe_statements(scope), *_own_statements(scope)]
    if queue is not None:
        instances = [arns.within("container-instance", name) for name in scope.clusters]
        statements.append(
            statement("DrainInstances", ["ecs:UpdateContainerInstancesState"], instances)
        )
    statements += capacity_statements(scope)
    if lease_table is not None:
        statements.append(_lease_statement(scope, lease_table))
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
