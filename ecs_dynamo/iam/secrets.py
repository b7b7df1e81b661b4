"""Permissions to read exactly the secrets that are referred to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ecs_dynamo.common.arns import is_arn
from ecs_dynamo.iam.statements import (
    Arns,
    Json,
    statement,
)
from ecs_dynamo.model.ecs.secrets import (
    is_secret,
    secret_id,
)

_SUFFIXED = re.compile(r"-[A-Za-z0-9]{6}$")


def reference_arns(references: Iterable[str], arns: Arns) -> tuple[list[str], list[str]]:
    """Return the ARNs of secrets and of parameters for references in the format of `valueFrom`."""
    secrets: set[str] = set()
    parameters: set[str] = set()
    for reference in references:
        if is_secret(reference):
            arn = secret_id(reference)
            # A secret's ARN ends with a dash and six random characters; a name may do so too.
            secrets |= {arn, f"{arn}-??????"} if _SUFFIXED.search(arn) else {f"{arn}-??????"}
        elif is_arn(reference):
            parameters.add(reference)
        else:
            parameters.add(arns.of("ssm", f"parameter/{reference.lstrip('/')}"))
    return sorted(secrets), sorted(parameters)


def read_statements(references: Iterable[str], arns: Arns) -> list[Json]:
    """Return statements that allow reading ``references``; none if there are none."""
    secrets, parameters = reference_arns(references, arns)
    statements = []
    if secrets:
        statements.append(statement("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets))
    if parameters:
        statements.append(statement("ReadParameters", ["ssm:GetParameters"], parameters))
    return statements
