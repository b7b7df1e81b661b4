"""Checks of references in task definitions: images, secrets, log groups, roles. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ecs_dynamo.doctor.checks.base import listed
from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.dynamo.credentials import task_references
from ecs_dynamo.model.ecs.secrets import (
    is_secret,
    secret_id,
)
from ecs_dynamo.model.ecs.task_definition import (
    ecr_image,
    graph_roles,
    images_of,
    log_groups_of,
)
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Unknown

TASKS = "ecs-tasks.amazonaws.com"


def check_definitions(graph: Graph, warnings: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Report on the validated task definitions; ``warnings`` are (text, remedy)."""
    for text, remedy in warnings:
        yield Finding("task definitions", Severity.WARNING, text, remedy)
    if not warnings:
        names = listed((c.name for c in graph.components), 12)
        yield Finding("task definitions", Severity.OK, f"valid: {names}")


def check_images(graph: Graph, existing: Mapping[str, Observed[bool]]) -> Iterator[Finding]:
    """Check that each image is in its ECR repository; other registries are not checked.

    ``existing`` has the images of ECR.
    """
    for image, users in sorted(images_of(graph).items()):
        text = f"{image} ({listed(users)})"
        exists = existing.get(image)
        if exists is None:
            remedy = "docker manifest inspect, with the credentials that the task has"
            yield Finding("images", Severity.UNKNOWN, f"{text}: not checked, not in ECR", remedy)
        elif isinstance(exists, Unknown):
            ecr = ecr_image(image)
            remedy = "grant the permission"
            if ecr is not None and graph.region is not None and ecr.region != graph.region:
                named = f"imageDigest={ecr.digest}" if ecr.digest else f"imageTag={ecr.tag}"
                remedy = (
                    f"aws ecr describe-images --region {ecr.region} --registry-id {ecr.registry} "
                    f"--repository-name {ecr.repository} --image-ids {named}"
                )
            yield Finding("images", Severity.UNKNOWN, f"{text}: {exists.reason}", remedy)
        elif exists:
            yield Finding("images", Severity.OK, text)
        else:
            remedy = "push it, or correct the task definition"
            yield Finding("images", Severity.ERROR, f"{text} does not exist", remedy)


def secret_references(graph: Graph) -> tuple[list[str], list[str]]:
    """Return the graph's (Secrets Manager ids, Parameter Store names or ARNs)."""
    secrets: set[str] = set()
    parameters: set[str] = set()
    references = task_references(graph.components, graph.security)
    for reference in references | set(graph.security.references()):
        if is_secret(reference):
            secrets.add(secret_id(reference))
        else:
            parameters.add(reference)
    return sorted(secrets), sorted(parameters)


def check_secrets(problems: Mapping[str, Observed[str | None]]) -> Iterator[Finding]:
    """Check that each secret and parameter exists. ``problems``: its problem, or None."""
    for name, problem in sorted(problems.items()):
        if isinstance(problem, Unknown):
            yield Finding(
                "secrets", Severity.UNKNOWN, f"{name}: {problem.reason}", "grant the permission"
            )
        elif problem is None:
            yield Finding("secrets", Severity.OK, name)
        else:
            yield Finding(
                "secrets", Severity.ERROR, f"{name} {problem}", "create it, or restore it"
            )


def check_log_groups(graph: Graph, existing: Mapping[str, Observed[bool]]) -> Iterator[Finding]:
    """Check that each log group exists, or is created when the first task starts."""
    for group in log_groups_of(graph.components):
        if group.region not in (None, graph.region):
            text = f"{group.name} is in {group.region}, the graph in {graph.region}"
            remedy = "set awslogs-region to the graph's, or check there"
            yield Finding("logs", Severity.UNKNOWN, text, remedy)
            continue
        exists = existing.get(group.name, Unknown("not checked"))
        if isinstance(exists, Unknown):
            text = f"{group.name}: {exists.reason}"
            yield Finding("logs", Severity.UNKNOWN, text, "grant the permission")
        elif exists:
            yield Finding("logs", Severity.OK, group.name)
        elif group.created:
            text = f"{group.name} is created by the first task (awslogs-create-group)"
            yield Finding("logs", Severity.OK, text)
        else:
            remedy = f"aws logs create-log-group --log-group-name {group.name}"
            yield Finding("logs", Severity.ERROR, f"{group.name} does not exist", remedy)


def check_roles(
    graph: Graph, trusted: Mapping[str, Observed[frozenset[str] | None]]
) -> Iterator[Finding]:
    """Check that ECS tasks may assume each role. ``trusted``: trusted services; None if missing."""
    for arn in graph_roles(graph):
        services = trusted.get(arn, Unknown("not checked"))
        if isinstance(services, Unknown):
            text = f"{arn}: {services.reason}"
            yield Finding("roles", Severity.UNKNOWN, text, "grant the permission")
        elif services is None:
            remedy = "create it; its policies are in iam/"
            yield Finding("roles", Severity.ERROR, f"{arn} does not exist", remedy)
        elif TASKS not in services:
            yield Finding(
                "roles",
                Severity.ERROR,
                f"{arn} trusts {listed(services) or 'no service'}, not {TASKS}",
                "use iam/trust-ecs-tasks.json as its trust policy",
            )
        else:
            yield Finding("roles", Severity.OK, arn)
