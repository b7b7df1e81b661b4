"""References to secrets in AWS Secrets Manager and SSM Parameter Store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ecs_dynamo.common.arns import (
    is_arn,
    parse_arn,
)
from ecs_dynamo.model.ecs.task_definition import containers_of
from ecs_dynamo.model.graph import Component


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A reference to a Secrets Manager secret: its ARN, and what of it ECS injects.

    ``arn:...:secret:name-suffix[:json-key:stage:version]`` (ECS developer guide, "Pass Secrets
    Manager secrets through environment variables"); an empty part selects ECS's default.
    """

    arn: str
    json_key: str = ""
    stage: str = ""
    version: str = ""


def parse_secret(reference: str) -> SecretReference:
    """Return the parts of a reference to a Secrets Manager secret."""
    arn = parse_arn(reference)
    if arn is None:
        return SecretReference(reference)
    kind, name, *selected = [*arn.resource.split(":"), "", "", "", ""][:5]
    return SecretReference(str(replace(arn, resource=f"{kind}:{name}")), *selected)


def secret_id(reference: str) -> str:
    """Return the ARN of a Secrets Manager secret without JSON key, stage and version."""
    return parse_secret(reference).arn


def parameter_names(reference: str) -> tuple[str, ...]:
    """Return the names that the SSM parameter of ``reference``, a name or an ARN, may have.

    The ARN ``parameter/app/key`` belongs to ``/app/key``. At the top level the ARN drops the
    slash of a hierarchy: ``parameter/key`` belongs to ``key`` or to ``/key``, and only the
    store knows which (SSM user guide, "Understanding requirements and constraints for parameter
    names").
    """
    if not is_arn(reference):
        return (reference,)
    name = reference.split(":parameter/", 1)[-1]
    return (f"/{name}",) if "/" in name else (name, f"/{name}")


def is_secret(reference: str) -> bool:
    """Return whether ``reference`` is a secret of Secrets Manager, not a parameter of SSM."""
    arn = parse_arn(reference)
    return arn is not None and arn.service == "secretsmanager"


def secret_values(component: Component) -> Iterable[str]:
    """Yield every reference to a secret or parameter that ECS resolves for a task."""
    for container in containers_of(component):
        for entry in container.get("secrets", ()):
            yield str(entry["valueFrom"])
        for entry in container.get("logConfiguration", {}).get("secretOptions", ()):
            yield str(entry["valueFrom"])
        credentials = container.get("repositoryCredentials", {}).get("credentialsParameter")
        if credentials:
            yield str(credentials)
