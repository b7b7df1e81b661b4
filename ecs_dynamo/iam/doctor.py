"""Permissions of `ecs-dynamo doctor` in addition to observing the graph: reads only. Pure."""

from __future__ import annotations

from ecs_dynamo.common.arns import is_arn
from ecs_dynamo.iam.secrets import reference_arns
from ecs_dynamo.iam.statements import (
    Json,
    Scope,
    statement,
)
from ecs_dynamo.iam.tasks import (
    role_arns,
    task_references_of,
)
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import ecr_images_of, uses_awslogs
from ecs_dynamo.model.graph import (
    namespaces_of,
    registries_of,
)


def doctor_statements(scope: Scope) -> list[Json]:
    """Return statements for doctor's checks of services other than ECS."""
    arns = scope.arns
    statements = [
        statement(
            "ReadNetwork",
            [
                "ec2:DescribeImages",
                "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcEndpoints",
            ],
            ["*"],
        ),
        statement("ReadQuotas", ["servicequotas:ListServiceQuotas"], ["*"]),
        statement(
            "SimulateRights",
            ["iam:SimulatePrincipalPolicy"],
            [f"arn:{arns.partition}:iam::{arns.account}:{kind}/*" for kind in ("role", "user")],
        ),
    ]
    if any(gpus_of(c) for c in scope.components):
        statements.append(
            statement(
                "ReadRecommendedImages",
                ["ssm:GetParameters"],
                # Public parameters belong to no account.
                [f"arn:{arns.partition}:ssm:{arns.region}::parameter/aws/service/ecs/*"],
            )
        )
    roles = role_arns(scope)
    if roles:
        statements.append(statement("ReadRoles", ["iam:GetRole"], roles))
    images = ecr_images_of(scope.components)
    repositories = {arns.repository(i) for i in images if i.region == arns.region}
    if repositories:
        statements.append(statement("FindImages", ["ecr:DescribeImages"], repositories))
    if uses_awslogs(scope.components):
        statements.append(statement("FindLogGroups", ["logs:DescribeLogGroups"], ["*"]))
    references = task_references_of(scope) | scope.references
    secrets, parameters = reference_arns(references, arns)
    if secrets:
        statements.append(statement("FindSecrets", ["secretsmanager:DescribeSecret"], secrets))
    if parameters:
        statements.append(statement("FindParameters", ["ssm:DescribeParameters"], ["*"]))
    return [*statements, *_names_statements(scope)]


def _names_statements(scope: Scope) -> list[Json]:
    """Return statements to read Cloud Map, which only doctor does.

    ECS registers tasks with its own service-linked role.
    """
    arns = scope.arns
    registries = {arn for graph in scope.graphs for arn in registries_of(graph)}
    namespaces = {name for graph in scope.graphs for name in namespaces_of(graph)}
    by_arn = {n for n in namespaces if is_arn(n)}
    statements = []
    if registries:
        statements.append(
            statement("ReadCloudMapServices", ["servicediscovery:GetService"], registries)
        )
    if registries or by_arn:
        # Only the service's description contains its namespace.
        anywhere = {arns.of("servicediscovery", "namespace/*")} if registries else set()
        statements.append(
            statement("ReadNamespaces", ["servicediscovery:GetNamespace"], anywhere | by_arn)
        )
    if namespaces - by_arn:
        statements.append(statement("FindNamespaces", ["servicediscovery:ListNamespaces"], ["*"]))
    return statements
