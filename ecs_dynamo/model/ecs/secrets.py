"""References to secrets in AWS Secrets Manager and SSM Parameter Store."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.ecs.task_definition import containers_of
from ecs_dynamo.model.graph import Component


def secret_id(reference: str) -> str:
    """The id of a Secrets Manager secret without JSON key, stage and version."""
    return ":".join(reference.split(":")[:7])


def parameter_names(reference: str) -> tuple[str, ...]:
    """The names that the SSM parameter behind ``reference``, a name or an ARN, may have.

    The ARN ``parameter/app/key`` belongs to ``/app/key``. At the top level the ARN drops the
    slash of a hierarchy: ``parameter/key`` belongs to ``key`` or to ``/key``, and only the
    store knows which (SSM user guide, "Understanding requirements and constraints for parameter
    names").
    """
    if not reference.startswith("arn:"):
        return (reference,)
    name = reference.split(":parameter/", 1)[-1]
    return (f"/{name}",) if "/" in name else (name, f"/{name}")


def is_secret(reference: str) -> bool:
    """Whether Secrets Manager has it; else it is a parameter of SSM's."""
    return ":secretsmanager:" in reference


def secret_values(component: Component) -> Iterable[str]:
    """Every reference to Secrets Manager or the Parameter Store that ECS resolves for a task."""
    for container in containers_of(component):
        for entry in container.get("secrets", ()):
            yield str(entry["valueFrom"])
        for entry in container.get("logConfiguration", {}).get("secretOptions", ()):
            yield str(entry["valueFrom"])
        credentials = container.get("repositoryCredentials", {}).get("credentialsParameter")
        if credentials:
            yield str(credentials)
