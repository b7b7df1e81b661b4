"""Permissions for volumes of the infrastructure: only if the graph declares them. Pure.

They follow the Service Authorization Reference of Amazon EFS: a client's permissions are bound to
the file system, and to an access point by the condition key
``elasticfilesystem:AccessPointArn``.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecs_dynamo.iam.statements import (
    Json,
    Scope,
    statement,
)
from ecs_dynamo.model.graph import JsonObject


def _efs_volumes(scope: Scope) -> Iterator[JsonObject]:
    for component in scope.components:
        for volume in component.template.get("volumes", ()):
            efs = volume.get("efsVolumeConfiguration")
            if efs and efs.get("authorizationConfig", {}).get("iam") == "ENABLED":
                yield efs


def efs_statements(scope: Scope) -> list[Json]:
    """Return the policy of etcd's and NATS's task role for volumes that grant access by IAM."""
    statements: list[Json] = []
    arns = scope.arns
    for number, volume in enumerate(_efs_volumes(scope)):
        point = volume["authorizationConfig"].get("accessPointId")
        arn = arns.of("elasticfilesystem", f"access-point/{point}")
        conditions = {"StringEquals": {"elasticfilesystem:AccessPointArn": arn}} if point else {}
        statements.append(
            statement(
                f"MountVolume{number}",
                ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                [arns.of("elasticfilesystem", f"file-system/{volume['fileSystemId']}")],
                **conditions,
            )
        )
    return statements
