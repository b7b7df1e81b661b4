"""Builders of task definitions.

The shapes are those of AWS's documentation (developer guide, "Example task definitions").
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"
LOGS: Json = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": "/ecs/app",
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "ecs",
    },
}


def container(name: str = "app", **members: Any) -> Json:
    """Return a container definition."""
    return {"name": name, "image": "example.com/app:1", "memory": 256, **members}


def ec2(*containers: Json, mode: str = "host", **members: Any) -> Json:
    """Return a task definition for EC2."""
    return {
        "family": "app",
        "requiresCompatibilities": ["EC2"],
        "networkMode": mode,
        "executionRoleArn": ROLE,
        "containerDefinitions": list(containers) or [container()],
        **members,
    }


def fargate(*containers: Json, **members: Any) -> Json:
    """Return a task definition for Fargate."""
    definition = ec2(*containers, mode="awsvpc", cpu="256", memory="512", **members)
    return {**definition, "requiresCompatibilities": ["FARGATE"], **members}
