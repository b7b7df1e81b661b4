"""The rights of `ecs-dynamo doctor` beyond looking at the graph: reads alone. Pure."""

from __future__ import annotations

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.planning.iam_base import Arns, Json, statement
from ecs_dynamo.planning.iam_tasks import graph_roles, secret_arns


def doctor_statements(graph: Graph, arns: Arns) -> list[Json]:
    """Statements for what doctor asks about besides ECS itself."""
    made = [
        statement(
            "ReadNetwork",
            ["ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"],
            ["*"],
        ),
    ]
    roles = graph_roles(graph)
    if roles:
        made.append(statement("ReadRoles", ["iam:GetRole"], roles))
    made.append(
        statement(
            "SimulateOwnRights",
            ["iam:SimulatePrincipalPolicy"],
            [f"arn:{arns.partition}:iam::{arns.account}:{kind}/*" for kind in ("role", "user")],
        )
    )
    secrets, parameters = secret_arns(graph.components, arns)
    if secrets:
        made.append(statement("FindSecrets", ["secretsmanager:DescribeSecret"], secrets))
    if parameters:
        made.append(statement("FindParameters", ["ssm:DescribeParameters"], ["*"]))
    return made
