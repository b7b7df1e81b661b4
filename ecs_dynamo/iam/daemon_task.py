"""The execution role of the daemon's own task, if the daemon runs as an ECS service. Pure.

The graph's execution roles allow the graph's images and log groups only. AWS's managed
AmazonECSTaskExecutionRolePolicy does not contain ``logs:CreateLogGroup``, which
``awslogs-create-group`` needs (Amazon ECS developer guide, "Send Amazon ECS logs to CloudWatch").
"""

from __future__ import annotations

from ecs_dynamo.iam.statements import (
    Arns,
    Json,
    document,
    statement,
)

REPOSITORY = "ecs-dynamo"
LOG_GROUP = "/ecs/dynamo/ecs-dynamo"
"""The name in taskdefs/ecs-dynamo.json."""


def daemon_execution_policy(
    arns: Arns, repository: str = REPOSITORY, log_group: str = LOG_GROUP
) -> Json:
    """Return a policy to pull the daemon's image and to create and write its log group."""
    group = arns.of("logs", f"log-group:{log_group}")
    return document(
        [
            statement("PullToken", ["ecr:GetAuthorizationToken"], ["*"]),
            statement(
                "PullDaemonImage",
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                [arns.of("ecr", f"repository/{repository}")],
            ),
            statement("CreateLogGroup", ["logs:CreateLogGroup"], [group, f"{group}:*"]),
            statement(
                "WriteLogs",
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [f"{group}:log-stream:*"],
            ),
        ]
    )
