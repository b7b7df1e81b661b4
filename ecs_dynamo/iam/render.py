"""Rendering of all IAM documents for the graphs of one daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ecs_dynamo.iam.daemon import daemon_policy, observe_statements
from ecs_dynamo.iam.daemon_task import LOG_GROUP, REPOSITORY, daemon_execution_policy
from ecs_dynamo.iam.doctor import doctor_statements
from ecs_dynamo.iam.events import event_pattern, notice_pattern, queue_policy
from ecs_dynamo.iam.statements import Arns, Graphs, Json, document, scope_of, split
from ecs_dynamo.iam.tasks import execution_policies, instance_policy
from ecs_dynamo.iam.volumes import efs_statements
from ecs_dynamo.model.ecs.partitions import ec2_principals

Documents = Mapping[str, Json]


def trust(*services: str, **conditions: Mapping[str, str]) -> Json:
    """Return a trust policy: an AWS service, by each of its names, may assume the role."""
    allow: Json = {
        "Effect": "Allow",
        "Principal": {"Service": services[0] if len(services) == 1 else list(services)},
        "Action": "sts:AssumeRole",
    }
    if conditions:
        allow["Condition"] = conditions
    return document([allow])


def task_role_trust(arns: Arns) -> Json:
    """Return a task role's trust policy: ECS may assume it for tasks of this account and Region.

    It follows the ECS developer guide, "Task IAM role", on the confused deputy problem, which
    describes the conditions for task roles and none for task execution roles.
    """
    return trust(
        "ecs-tasks.amazonaws.com",
        ArnLike={"aws:SourceArn": arns.of("ecs", "*")},
        StringEquals={"aws:SourceAccount": arns.account},
    )


def doctor_policy(graphs: Graphs, region: str, account: str) -> Json:
    """Return the policy of users or pipelines that run `ecs-dynamo doctor`, which only reads."""
    scope = scope_of(graphs, region, account)
    return document([*observe_statements(scope), *doctor_statements(scope)])


def render_iam(
    graphs: Graphs,
    region: str,
    account: str,
    lease_table: str | None = None,
    queue: str | None = None,
    daemon_image: tuple[str, str] = (REPOSITORY, LOG_GROUP),
) -> Documents:
    """Return every document for ``graphs`` by file name; with ``queue``, those of events too.

    ``daemon_image``: the daemon's own ECR repository and log group. A policy that exceeds the size
    of a managed policy is split into several documents (`statements.split`).
    """
    scope = scope_of(graphs, region, account)
    policies = {
        "daemon-task-role.json": daemon_policy(graphs, region, account, lease_table, queue),
        "daemon-execution-role.json": daemon_execution_policy(scope.arns, *daemon_image),
        "doctor.json": doctor_policy(graphs, region, account),
        **execution_policies(scope),
        "instance-role.json": instance_policy(scope),
    }
    volumes = efs_statements(scope)
    if volumes:
        policies["infrastructure-task-role.json"] = document(volumes)
    documents: dict[str, Json] = {}
    for name, policy in policies.items():
        documents |= split(name, policy)
    documents["trust-ecs-tasks.json"] = trust("ecs-tasks.amazonaws.com")
    documents["trust-ecs-task-roles.json"] = task_role_trust(scope.arns)
    documents["trust-ec2.json"] = trust(*ec2_principals(region))
    if queue is not None:
        documents["events-rule-pattern.json"] = event_pattern(graphs, region, account)
        documents["notices-rule-pattern.json"] = notice_pattern()
        policy = queue_policy(region, account, queue)
        documents["events-queue-policy.json"] = policy
        # The format of `aws sqs create-queue --attributes file://...`.
        documents["events-queue-attributes.json"] = {"Policy": json.dumps(policy)}
    return documents
